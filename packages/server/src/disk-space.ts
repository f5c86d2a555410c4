import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

import type { DiskSpace } from "@custody/core/runtime";

/**
 * Tells how much is free on the disks that a data directory lies on: its own, and any other that
 * something right below it was mounted from or points to (the journal's file, the blobs). What cannot be
 * looked at is left out.
 */
export async function diskSpaceOf(directory: string): Promise<readonly DiskSpace[]> {
  const below = await readdir(directory).catch(() => []);
  const places = [directory, ...below.map((name) => join(directory, name))];
  const disks = new Map<number, DiskSpace>();
  for (const place of places) {
    const device = await stat(place).catch(() => undefined);
    if (device === undefined || disks.has(device.dev)) continue;
    const found = await statfs(place).catch(() => undefined);
    // Some file systems over a network tell nothing.
    if (found === undefined || found.blocks === 0) continue;
    disks.set(device.dev, {
      place,
      freeBytes: found.bavail * found.bsize,
      totalBytes: found.blocks * found.bsize,
    });
  }
  return [...disks.values()];
}
