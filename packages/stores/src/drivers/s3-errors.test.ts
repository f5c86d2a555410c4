import { S3ServiceException } from "@aws-sdk/client-s3";
import { expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { mapS3Error } from "./s3-errors.ts";

function answer(name: string, httpStatusCode: number): S3ServiceException {
  return new S3ServiceException({
    name,
    $fault: "client",
    message: "the server's own words, which may quote a key",
    $metadata: { httpStatusCode },
  });
}

const doing = "put blob k";

test.each([
  ["PreconditionFailed", 412, "conflict", false],
  ["ConditionalRequestConflict", 409, "unavailable", true],
  ["SlowDown", 503, "unavailable", true],
  ["InternalError", 500, "unavailable", true],
  ["NoSuchBucket", 404, "unavailable", true],
  ["EntityTooLarge", 400, "limit", false],
  ["XMinioStorageFull", 507, "full", true],
  ["QuotaExceeded", 403, "full", true],
  ["InvalidStorageClass", 400, "refused", false],
  ["InvalidAccessKeyId", 403, "unavailable", true],
  ["SignatureDoesNotMatch", 403, "unavailable", true],
  ["SomethingNew", 503, "unavailable", true],
  ["SomethingNew", 507, "full", true],
  ["SomethingNew", 400, "refused", false],
])("the server's %s (%i) is %s", (name, status, code, retryable) => {
  const error = mapS3Error({ doing }, answer(name, status));
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({ code, retryable });
  expect(error.message).not.toContain("own words");
});

test("a denied write is read-only, a denied read is unavailable", () => {
  const denied = answer("AccessDenied", 403);
  expect(mapS3Error({ doing, isWrite: true }, denied).code).toBe("read-only");
  expect(mapS3Error({ doing }, denied).code).toBe("unavailable");
  expect(mapS3Error({ doing, isWrite: true }, answer("Unknown", 403)).code).toBe("read-only");
});

test("what is no answer of a server is the network's, and told by its code alone", () => {
  const cause = Object.assign(new Error("connect to secret.host"), { code: "ECONNREFUSED" });
  const error = mapS3Error({ doing }, cause);
  expect(error).toMatchObject({ code: "unavailable", retryable: true });
  expect(error.message).toBe("S3 could not put blob k: Error ECONNREFUSED");
});

test("our own errors pass as they are", () => {
  const own = new StoreError("limit", "too long");
  expect(mapS3Error({ doing }, own)).toBe(own);
});
