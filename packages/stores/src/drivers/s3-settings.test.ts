import { describe, expect, test } from "vitest";

import { readS3Settings } from "./s3-settings.ts";

describe("the URL of an S3 bucket", () => {
  test("names server, bucket and prefix, with credentials", () => {
    expect(readS3Settings("s3://key:se%2Fcret@minio:9001/evidence/eu/prod")).toEqual({
      bucket: "evidence",
      prefix: "eu/prod/",
      endpoint: "http://minio:9001",
      region: "us-east-1",
      credentials: { accessKeyId: "key", secretAccessKey: "se/cret" },
      isPathStyle: true,
      timeoutMs: 30_000,
      connectMs: 10_000,
      poolMax: 8,
      isMade: false,
      isLocked: false,
      partBytes: 8_388_608,
      checksum: "crc32",
      hasConditionalWrites: true,
    });
  });

  test("takes every option", () => {
    const options =
      "region=eu-west-1&tls=true&create=true&object-lock=true&path-style=false&part-size=16&" +
      "checksum=md5&conditional-writes=false&sse=aws:kms&sse-kms-key=k1&storage-class=STANDARD_IA";
    expect(readS3Settings(`s3://storage.googleapis.com:443/evidence?${options}`)).toMatchObject({
      endpoint: "https://storage.googleapis.com:443",
      prefix: "",
      region: "eu-west-1",
      isMade: true,
      isLocked: true,
      isPathStyle: false,
      partBytes: 16_777_216,
      checksum: "md5",
      hasConditionalWrites: false,
      encryption: { kind: "aws:kms", keyId: "k1" },
      storageClass: "STANDARD_IA",
      tls: { isVerified: true },
    });
  });

  test("means TLS by s3s", () => {
    expect(readS3Settings("s3s://minio/evidence")).toMatchObject({
      endpoint: "https://minio:9000",
      tls: { isVerified: true },
    });
  });

  test.each([
    ["s3://evidence.s3.eu-central-1.amazonaws.com/prod", "eu-central-1", false],
    ["s3://s3.eu-central-1.amazonaws.com/evidence/prod", "eu-central-1", false],
    ["s3://evidence.s3.amazonaws.com/prod?region=eu-west-3", "eu-west-3", false],
    ["s3://s3.us-east-2.amazonaws.com/evidence/prod?path-style=true", "us-east-2", true],
  ])("knows Amazon's own addresses: %s", (url, region, isPathStyle) => {
    const settings = readS3Settings(url);
    expect(settings).toMatchObject({ bucket: "evidence", prefix: "prod/", region, isPathStyle });
    expect(settings).not.toHaveProperty("endpoint");
    expect(settings).not.toHaveProperty("credentials");
  });

  test.each([
    ["s3://host", "a bucket"],
    ["s3://host/UPPER", "a bucket"],
    ["s3://host/bucket/a/../b", "a prefix"],
    ["s3://host/bucket/a b", "a prefix"],
    ["s3://host/bucket/1/2/3/4/5", "a prefix"],
    ["s3://key@host/bucket", "go together"],
    ["s3://host/bucket?part-size=4", "part-size"],
    ["s3://host/bucket?part-size=513", "part-size"],
    ["s3://host/bucket?create=yes", "create"],
    ["s3://host/bucket?sse=DES", "sse"],
    ["s3://host/bucket?sse-kms-key=k", "sse-kms-key"],
    ["s3://host/bucket?versioning=true", "versioning"],
    ["http://host/bucket", "scheme"],
  ])("is refused with what is wrong: %s", (url, what) => {
    expect(() => readS3Settings(url)).toThrow(
      expect.objectContaining({
        code: "refused",
        message: expect.stringContaining(what) as string,
      }) as Error,
    );
  });
});
