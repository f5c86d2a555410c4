import { KMSServiceException } from "@aws-sdk/client-kms";
import { expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { mapAwsKmsError } from "./aws-kms-errors.ts";

function answer(name: string, httpStatusCode: number): KMSServiceException {
  return new KMSServiceException({
    name,
    $fault: "client",
    message: "the service's own words, which may quote a key",
    $metadata: { httpStatusCode },
  });
}

test.each([
  ["NotFoundException", 400, "refused", "there is no such key"],
  ["InvalidCiphertextException", 400, "refused", "it does not open"],
  ["InvalidKeyUsageException", 400, "refused", "SYMMETRIC_DEFAULT"],
  ["AccessDeniedException", 400, "unavailable", "it denies access"],
  ["UnrecognizedClientException", 400, "unavailable", "it denies access"],
  ["ExpiredTokenException", 400, "unavailable", "the credentials have expired"],
  ["DisabledException", 400, "unavailable", "the key is disabled: enable it"],
  ["KMSInvalidStateException", 400, "unavailable", "pending deletion"],
  ["ThrottlingException", 400, "unavailable", "ThrottlingException (400)"],
  ["SomethingNew", 400, "refused", "SomethingNew (400)"],
  ["SomethingNew", 403, "unavailable", "SomethingNew (403)"],
  ["SomethingNew", 503, "unavailable", "SomethingNew (503)"],
])("the service's %s (%i) is %s", (name, status, code, told) => {
  const error = mapAwsKmsError("wrap a key", answer(name, status));
  expect(error).toMatchObject({ code, retryable: code === "unavailable" });
  expect(error.message).toMatch(/^AWS KMS could not wrap a key: /);
  expect(error.message).toContain(told);
  expect(error.message).not.toContain("own words");
});

test("missing credentials say where to give them", () => {
  const cause = Object.assign(new Error("tried /home/ana"), { name: "CredentialsProviderError" });
  const error = mapAwsKmsError("wrap a key", cause);
  expect(error.code).toBe("unavailable");
  expect(error.message).toContain("there are no credentials: give them in the URL");
  expect(error.message).not.toContain("ana");
});

test("what is no answer of the service is the network's, and told by its code alone", () => {
  const cause = Object.assign(new Error("connect to secret.host"), { code: "ECONNREFUSED" });
  expect(mapAwsKmsError("wrap a key", cause)).toMatchObject({
    code: "unavailable",
    message: "AWS KMS could not wrap a key: Error ECONNREFUSED",
  });
  const own = new StoreError("limit", "too long");
  expect(mapAwsKmsError("wrap a key", own)).toBe(own);
});
