import type { Importer, ImportRow } from "@custody/contract/importer";
import { afterEach, beforeEach, expect, test } from "vitest";

import type { DiskSpace } from "../runtime.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt, attempts } from "../testing/sample-types.ts";
import type { SourceReading } from "./source-reading.ts";

const MIB = 1024 * 1024;
const ROWS = 1_500;

const disk = { freeMib: 5_000 };
let fillsAtRow = Infinity;
let installation: Installation;

beforeEach(async () => {
  disk.freeMib = 5_000;
  fillsAtRow = Infinity;
  // 10 GiB, of which 512 MiB are kept free.
  const space = async (): Promise<readonly DiskSpace[]> => [
    { place: "the data", freeBytes: disk.freeMib * MIB, totalBytes: 10_240 * MIB },
  ];
  installation = await openInstallation({ reading, space });
});
afterEach(() => installation[Symbol.asyncDispose]());

/** A file of 1,500 attempts, whatever its bytes; the disk fills while a row is read. */
const counting: Importer = {
  name: "counting",
  version: 1,
  title: "so many records",
  types: [attempts.name],
  detect: () => 1,
  async *read(): AsyncGenerator<ImportRow> {
    for (let row = 1; row <= ROWS; row += 1) {
      if (row === fillsAtRow) fillDisk();
      yield { kind: "record", type: attempts.name, fields: attempt(`a${row}`), at: `row ${row}` };
    }
  },
};

const reading: SourceReading = {
  importers: [counting],
  open: async (_bytes, { name }) => ({
    name,
    head: { name, text: "", isWhole: true },
    lines: () => nothing(),
    text: () => nothing(),
    json: () => nothing(),
    async [Symbol.asyncDispose]() {
      // Nothing is held open.
    },
  }),
  detect: () => counting,
};

async function* nothing(): AsyncGenerator<never> {
  // The importer makes its rows itself.
}

function fillDisk(): void {
  disk.freeMib = 500;
  installation.clock.nowMs += 1_000;
}

async function* bytes(): AsyncGenerator<Uint8Array> {
  yield Buffer.from("a file");
}

test("an import stops when the disk fills under it, commits nothing, and is taken up when there is room", async () => {
  const { custody, clock } = installation;
  fillsAtRow = 600;
  await expect(custody.import(scope, bytes, { name: "some.log" })).rejects.toMatchObject({
    code: "full",
    message: expect.stringContaining("500 MiB are free at the data and 640 MiB are needed"),
  });
  // That it was tried is in the audit log, and nothing else is anywhere.
  expect((await custody.status(scope)).entries).toBe(1);
  disk.freeMib = 5_000;
  clock.nowMs += 1_000;
  fillsAtRow = Infinity;
  const report = await custody.import(scope, bytes, { name: "some.log" });
  expect(report.types[attempts.name]).toEqual({ accepted: ROWS, duplicates: 0, rejected: 0 });
  expect(report.isReplay).toBe(false);
});

test("a file for which there is no room is refused before anything of it is kept", async () => {
  const { custody } = installation;
  disk.freeMib = 513;
  const large = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(600 * 1024);
  };
  await expect(custody.import(scope, large, { name: "large.log" })).rejects.toMatchObject({
    code: "full",
  });
  expect(await custody.blob.list(scope, "")).toEqual([]);
});

test("imports that come together are all done, two at a time", async () => {
  const { custody } = installation;
  const names = ["a.log", "b.log", "c.log", "d.log"];
  const reports = await Promise.all(
    names.map((name) =>
      custody.import(
        scope,
        async function* () {
          yield Buffer.from(name);
        },
        { name },
      ),
    ),
  );
  const accepted = reports.map(({ types }) => types[attempts.name]?.accepted ?? 0);
  // Each brings the same records: whichever came first has them all.
  expect(accepted.reduce((sum, one) => sum + one, 0)).toBe(ROWS);
});
