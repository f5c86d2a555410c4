import { MongoBulkWriteError, MongoParseError, MongoServerError } from "mongodb";
import { describe, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import {
  isCommandNotFound,
  isDuplicateKey,
  isNamespaceNotFound,
  mapMongoError,
  serverError,
} from "./mongodb-errors.ts";

const mapped = (cause: unknown) => mapMongoError("apply to lab/sample", cause);

describe("errors of MongoDB", () => {
  test.each([
    [2, "refused"],
    [15, "refused"],
    [121, "refused"],
    [31_249, "refused"],
    [17_419, "limit"],
    [292, "limit"],
    [11_000, "conflict"],
    [14_031, "full"],
    [301, "corrupt"],
    [20, "unsupported"],
    [115, "unsupported"],
    [10_107, "unavailable"],
    [11_602, "unavailable"],
    [189, "unavailable"],
    [91, "unavailable"],
    [50, "unavailable"],
    [64, "unavailable"],
    [100, "unavailable"],
    [43, "unavailable"],
    [175, "unavailable"],
    [13_388, "unavailable"],
    // Nobody has the right: that is no fault of a record, which would be put aside for it.
    [13, "unavailable"],
    [18, "unavailable"],
    [0, "unavailable"],
  ])("the code %i is %s", (code, meaning) => {
    const cause = new MongoServerError({ message: "dup key: { _id: 'secret' }", code });
    expect(mapped(cause)).toMatchObject({
      name: "StoreError",
      code: meaning,
      retryable: meaning === "unavailable" || meaning === "full",
      cause,
    });
    expect(String(mapped(cause))).not.toContain("secret");
  });

  test("what the server says may be repeated is unavailable, whatever its code", () => {
    const cause = new MongoServerError({
      message: "x",
      code: 99_999,
      errorLabels: ["RetryableWriteError"],
    });
    expect(mapped(cause)).toMatchObject({ code: "unavailable" });
  });

  test("a message has what was done, the code and its name", () => {
    expect(serverError("write rows", { code: 112, codeName: "WriteConflict" }).message).toBe(
      "write rows: MongoDB answered WriteConflict (112)",
    );
    expect(serverError("write rows", { code: 64 }).message).toBe(
      "write rows: MongoDB answered (64)",
    );
  });

  test.each([
    ["MongoServerSelectionError", "unavailable"],
    ["MongoNetworkTimeoutError", "unavailable"],
    ["MongoWaitQueueTimeoutError", "unavailable"],
    ["PoolClearedOnNetworkError", "unavailable"],
    ["MongoStalePrimaryError", "unavailable"],
    ["MongoCompatibilityError", "unsupported"],
    ["MongoMissingDependencyError", "unsupported"],
    ["MongoInvalidArgumentError", "refused"],
    ["BSONError", "refused"],
  ])("the client's own %s is %s", (name, meaning) => {
    const cause = Object.assign(new Error("x"), { name });
    expect(mapped(cause)).toMatchObject({ name: "StoreError", code: meaning });
  });

  test("a server that is too old is told what is needed", () => {
    const cause = Object.assign(new Error("wire version 8"), { name: "MongoCompatibilityError" });
    expect(String(mapped(cause))).toContain("Custody needs MongoDB 5.0 or newer");
  });

  test("a socket that breaks is unavailable", () => {
    for (const code of ["EPIPE", "ECONNRESET", "ERR_STREAM_DESTROYED"]) {
      expect(mapped(Object.assign(new Error(code), { code }))).toMatchObject({
        code: "unavailable",
      });
    }
    expect(mapped(Object.assign(new Error("x"), { syscall: "connect" }))).toMatchObject({
      code: "unavailable",
    });
  });

  test("a typed error and a fault of ours stay as they are", () => {
    for (const cause of [new StoreError("limit", "x"), new TypeError("x"), "text"]) {
      expect(mapped(cause)).toBe(cause);
    }
  });

  test("the client's own classes have the names that are looked at", () => {
    expect(new MongoParseError("x").name).toBe("MongoParseError");
    expect(MongoBulkWriteError.prototype.name).toBe("MongoBulkWriteError");
    expect(isDuplicateKey(new MongoServerError({ message: "x", code: 11_000 }))).toBe(true);
    expect(isNamespaceNotFound(new MongoServerError({ message: "x", code: 26 }))).toBe(true);
    expect(isNamespaceNotFound(new MongoServerError({ message: "ns not found" }))).toBe(true);
    expect(isCommandNotFound(new MongoServerError({ message: "x", code: 59 }))).toBe(true);
    expect(isCommandNotFound(new Error("x"))).toBe(false);
  });
});
