import { expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { mapLadybugError } from "./ladybug.ts";

// Texts as LadybugDB 0.19.1 and Node were met to say them.
test.each([
  [
    "IO exception: Cannot write to file. path: g.lbug.wal fileDescriptor: 23 offsetToWrite: 6283413 numBytesToWrite: 4096 numBytesWritten: 3947. Error: Success",
    "full",
  ],
  ["ENOSPC: no space left on device, write", "full"],
  ["IO exception: Could not set lock on file : g.lbug", "unavailable"],
  ["IO exception: Cannot open file g.lbug: Permission denied", "read-only"],
  ["Runtime exception: Checksum verification failed, the WAL file is corrupted.", "corrupt"],
  ["Interrupted.", "limit"],
  ["Binder exception: Table Nothing does not exist.", "refused"],
  ["Binder exception: Table Corrupt does not exist.", "refused"],
])("LadybugDB's %j is told as %s", (message, code) => {
  const error = mapLadybugError("apply", new Error(message));
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({ code });
});

test("an error that is a StoreError already, or a fault of ours, stays as it is", () => {
  const ours = new TypeError("x is not a function");
  const theirs = new StoreError("conflict", "checksum");
  expect(mapLadybugError("apply", ours)).toBe(ours);
  expect(mapLadybugError("apply", theirs)).toBe(theirs);
});
