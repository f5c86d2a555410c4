import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { removeLeftBeside } from "./left-beside.ts";
import { removeAsides, setFileAside } from "./set-aside.ts";

const AT = Date.parse("2026-04-01T12:30:00.250Z");

test("a file is set aside with its log, under the instant; files of other names stay", async () => {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, "a.sqlite");
  for (const name of ["a.sqlite", "a.sqlite-wal", "b.sqlite", "a.sqlite2"])
    writeFileSync(join(directory.path, name), name);
  expect(setFileAside(path, ["-wal", "-shm"], AT)).toBe(`${path}.set-aside-20260401T123000250Z`);
  expect(readdirSync(directory.path).sort()).toEqual([
    "a.sqlite.set-aside-20260401T123000250Z",
    "a.sqlite.set-aside-20260401T123000250Z-wal",
    "a.sqlite2",
    "b.sqlite",
  ]);
});

test("the two newest stay, also where the clock stands still", async () => {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, "a.sqlite");
  for (let round = 0; round < 4; round += 1) {
    for (const ending of ["", "-wal"]) writeFileSync(`${path}${ending}`, String(round));
    setFileAside(path, ["-wal"], AT);
  }
  expect(readdirSync(directory.path).sort()).toEqual([
    "a.sqlite.set-aside-20260401T123000252Z",
    "a.sqlite.set-aside-20260401T123000252Z-wal",
    "a.sqlite.set-aside-20260401T123000253Z",
    "a.sqlite.set-aside-20260401T123000253Z-wal",
  ]);
  removeAsides(path);
  expect(readdirSync(directory.path)).toEqual([]);
});

test("a file that is not there is not set aside, and what it left beside it is removed", async () => {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, "a.sqlite");
  writeFileSync(`${path}-wal`, "left");
  expect(setFileAside(path, ["-wal"], AT)).toBeUndefined();
  expect(readdirSync(directory.path)).toEqual(["a.sqlite-wal"]);
  removeLeftBeside(path, ["-wal"]);
  expect(readdirSync(directory.path)).toEqual([]);
});
