import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { diskSpaceOf } from "./disk-space.ts";

test("a directory whose files all lie on one disk has that one, named after the directory", async () => {
  const directory = mkdtempSync(join(tmpdir(), "custody-space-"));
  try {
    mkdirSync(join(directory, "acme"));
    writeFileSync(join(directory, "journal.sqlite"), "");
    const { blocks, bsize } = statfsSync(directory);
    const disks = await diskSpaceOf(directory);
    expect(disks.map(({ place, totalBytes }) => [place, totalBytes])).toEqual([
      [directory, blocks * bsize],
    ]);
    const [disk] = disks;
    expect(disk?.freeBytes).toBeGreaterThan(0);
    expect(disk?.freeBytes).toBeLessThanOrEqual(blocks * bsize);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("of a directory that is not there nothing is told", async () => {
  expect(await diskSpaceOf(join(tmpdir(), "custody-space-nowhere"))).toEqual([]);
});
