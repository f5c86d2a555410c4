import { describe, expect, test } from "vitest";

import { readAwsKmsSettings } from "./aws-kms-settings.ts";

describe("the URL of a key in AWS KMS", () => {
  test("names region and key, and leaves credentials to the library", () => {
    expect(readAwsKmsSettings("aws-kms://eu-central-1/alias/custody/backup")).toEqual({
      region: "eu-central-1",
      keyId: "alias/custody/backup",
      name: "aws-kms://eu-central-1/alias/custody/backup",
      tls: { isVerified: true },
      timeoutMs: 30_000,
      connectMs: 10_000,
    });
  });

  test.each([
    "1234abcd-12ab-34cd-56ef-1234567890ab",
    "mrk-1234abcd12ab34cd56ef1234567890ab",
    "arn:aws:kms:us-gov-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "arn:aws:kms:eu-central-1:111122223333:alias/custody",
  ])("takes %s as a key", (key) => {
    expect(readAwsKmsSettings(`aws-kms://us-gov-west-1/${key}`).keyId).toBe(key);
  });

  test("takes an endpoint and credentials, and its name has neither", () => {
    const url = "aws-kms://AKIA:se%2Fcret@us-east-1/alias/custody?endpoint=http://kms:8080/";
    expect(readAwsKmsSettings(url)).toMatchObject({
      endpoint: "http://kms:8080",
      credentials: { accessKeyId: "AKIA", secretAccessKey: "se/cret" },
      name: "aws-kms://us-east-1/alias/custody",
    });
  });

  test.each([
    ["aws-kms://kms.example/alias/custody", "its host is a region"],
    ["aws-kms://eu-central-1:8080/alias/custody", "its host is a region"],
    ["aws-kms://eu-central-1/", "its path is the key"],
    ["aws-kms://eu-central-1/alias/cust%20ody", "its path is the key"],
    ["aws-kms://AKIA@eu-central-1/alias/custody", "an access key and its secret go together"],
    ["aws-kms://eu-central-1/alias/c?endpoint=http://a:b@kms", "endpoint is https://HOST:PORT"],
    ["aws-kms://eu-central-1/alias/c?region=x", 'it has no option "region"'],
  ])("%s is refused", (url, why) => {
    expect(() => readAwsKmsSettings(url)).toThrow(why);
  });
});
