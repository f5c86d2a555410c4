import { expect, test } from "vitest";

import type { DiskSpace } from "../runtime.ts";
import { DiskRoom, lowWater } from "./disk-room.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** A disk of 10 GiB, of which 512 MiB are kept free. */
function disk(freeMib: number): {
  readonly room: DiskRoom;
  readonly notices: string[];
  readonly state: { freeMib: number; nowMs: number; looks: number };
} {
  const state = { freeMib, nowMs: 1_000_000, looks: 0 };
  const notices: string[] = [];
  const space = async (): Promise<readonly DiskSpace[]> => {
    state.looks += 1;
    return [{ place: "the data", freeBytes: state.freeMib * MIB, totalBytes: 10 * GIB }];
  };
  const room = new DiskRoom({
    runtime: { clock: () => state.nowMs, space },
    onNotice: (text) => notices.push(text),
  });
  return { room, notices, state };
}

test.each([
  ["4 TiB", 4 * 1024 * GIB, GIB],
  ["10 GiB", 10 * GIB, 512 * MIB],
  ["1 GiB", GIB, 64 * MIB],
  ["64 MiB", 64 * MIB, 16 * MIB],
])("of a disk of %s the right part is kept free", (_, total, low) => {
  expect(lowWater(total)).toBe(low);
});

test("a write is taken while enough is left after it, and refused one byte later", async () => {
  // Half of what is above the mark, as a byte of a record takes two.
  expect(await disk(512 + 20).room.require(10 * MIB)).toBeUndefined();
  await expect(disk(512 + 20).room.require(10 * MIB + 1)).rejects.toMatchObject({
    name: "StoreError",
    code: "full",
    retryable: true,
    message:
      "532 MiB are free at the data and 533 MiB are needed: nothing was written; remove what is not needed there or enlarge the disk. Reads, verify, deletion and a backup to another disk go on",
  });
});

test("a disk with ample room is looked at once a second, and what is admitted meanwhile is counted", async () => {
  const { room, state } = disk(512 + 80);
  await room.require(6 * MIB);
  await room.require(4 * MIB);
  expect(state.looks).toBe(1);
  // 20 MiB of 80 were a quarter; with one more the disk is looked at anew.
  await room.require(1);
  expect(state.looks).toBe(2);
  state.nowMs += 1_000;
  await room.requireNow();
  expect(state.looks).toBe(3);
});

test("a write under way keeps its room however often the disk is looked at", async () => {
  const { room, state } = disk(512 + 20);
  const held = await room.hold(6 * MIB);
  state.nowMs += 1_000;
  await expect(room.require(4 * MIB + 1)).rejects.toMatchObject({ code: "full" });
  held[Symbol.dispose]();
  // Given back twice, it is given back once.
  held[Symbol.dispose]();
  await room.require(10 * MIB);
  using _ = await room.hold(6 * MIB);
  await expect(room.require(4 * MIB + 1)).rejects.toMatchObject({ code: "full" });
});

test("what fills the disk within a second is seen where little room is left", async () => {
  const { room, state } = disk(512 + 20);
  await room.require(1 * MIB);
  state.freeMib = 511;
  await room.requireNow();
  await expect(room.require(5 * MIB)).rejects.toMatchObject({ code: "full" });
  await expect(room.requireNow()).rejects.toMatchObject({ code: "full" });
});

test("writes are refused below the mark, and taken again only a quarter above it", async () => {
  const { room, notices, state } = disk(511);
  await expect(room.requireNow()).rejects.toMatchObject({ code: "full" });
  state.freeMib = 639;
  state.nowMs += 1_000;
  await expect(room.requireNow()).rejects.toMatchObject({ code: "full" });
  state.freeMib = 640;
  state.nowMs += 1_000;
  await room.requireNow();
  expect(notices).toEqual([
    "the disk is nearly full: 511 MiB are free at the data; writes are refused and stores wait until 640 MiB are, reads go on",
    "there is room again at the data: 640 MiB are free, and writes are taken",
  ]);
});

test("a clock that goes back makes the disk looked at anew", async () => {
  const { room, state } = disk(5_000);
  await room.requireNow();
  state.nowMs -= 86_400_000;
  state.freeMib = 1;
  await expect(room.requireNow()).rejects.toMatchObject({ code: "full" });
});

test("the report says how much is free, how much must be, and whether that is so", async () => {
  const { room, state } = disk(5_000);
  await room.requireNow();
  state.freeMib = 100;
  expect(await room.report()).toEqual([
    {
      place: "the data",
      freeBytes: 100 * MIB,
      totalBytes: 10 * GIB,
      neededBytes: 640 * MIB,
      isLow: true,
    },
  ]);
});

test("where nobody can tell how much is free, nothing is refused", async () => {
  const room = new DiskRoom({ runtime: { clock: () => 0 } });
  expect(await room.require(GIB)).toBeUndefined();
  expect(await room.report()).toEqual([]);
});
