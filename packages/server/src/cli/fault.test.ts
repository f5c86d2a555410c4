import { ContractError } from "@custody/contract/errors";
import { ImportError } from "@custody/contract/importer";
import { CoreError } from "@custody/core/errors";
import { StoreError } from "@custody/stores/errors";
import { expect, test } from "vitest";

import { CommandError } from "./command-error.ts";
import { exitCodeOf, faultOf } from "./fault.ts";

test("a failure of the library keeps its code and its place", () => {
  expect(faultOf(new ImportError("malformed", "not JSON", { at: "line 3" }))).toMatchObject({
    code: "malformed",
    message: "not JSON",
    at: "line 3",
  });
  expect(faultOf(new CoreError("damaged", "hash", { at: "entry 7 of acme" }))).toMatchObject({
    code: "damaged",
    at: "entry 7 of acme",
  });
  expect(faultOf(new StoreError("corrupt", "no database"))).toMatchObject({
    code: "corrupt",
    next: "run `custody rebuild ROLE`: every store is rebuilt from the journal",
  });
});

test("only a wrong command line exits with 2", () => {
  const exits = (error: unknown): number => exitCodeOf(faultOf(error));
  expect(exits(new CommandError("usage", "x"))).toBe(2);
  expect(exits(new CoreError("usage", "x"))).toBe(2);
  expect(exits(new ContractError("invalid-filter", "x"))).toBe(2);
  expect(exits(new ContractError("invalid-record", "x"))).toBe(1);
  expect(exits(new StoreError("full", "x"))).toBe(1);
  expect(exits(new Error("x"))).toBe(1);
});

test("a failure of the file system names the file and says what to do", () => {
  const missing = Object.assign(new Error("ENOENT: no such file"), {
    code: "ENOENT",
    syscall: "open",
    path: "/a/b.json",
  });
  expect(faultOf(missing)).toEqual({
    code: "no-such-file",
    message: "/a/b.json: there is no such file",
    path: "/a/b.json",
  });
});

test("a fault of our own is called one", () => {
  expect(faultOf(new TypeError("x is undefined"))).toMatchObject({
    code: "internal",
    message: "a fault in Custody itself: x is undefined",
  });
});

test("an abort is an interruption that can be resumed", () => {
  expect(faultOf(new DOMException("stopped", "AbortError"))).toMatchObject({
    code: "interrupted",
    next: "run the same command again: it resumes",
  });
});

test("a commit that finds no room among those that wait is told when to come again", () => {
  const fault = faultOf(new CoreError("busy", "4 commits are waiting", { retryAfterMs: 250 }));
  expect(fault).toEqual({
    code: "busy",
    message: "4 commits are waiting",
    next: "wait for the time it says and run the same command again: nothing of it was written",
    retryAfterMs: 250,
  });
  expect(exitCodeOf(fault)).toBe(1);
});
