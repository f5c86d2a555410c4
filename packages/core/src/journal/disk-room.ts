import { StoreError } from "@custody/stores/errors";

import type { DiskSpace, Runtime } from "../runtime.ts";

export interface DiskRoomParts {
  readonly runtime: Pick<Runtime, "clock" | "space">;
  /** Free bytes below which writes are refused; default {@link lowWater} of each disk. */
  readonly lowBytes?: number;
  readonly onNotice?: (text: string) => void;
}

/** A disk as it was seen last. */
export interface DiskReport extends DiskSpace {
  /** Writes are refused while less is free; once they are, until a quarter more is. */
  readonly neededBytes: number;
  readonly isLow: boolean;
}

const MIB = 1024 * 1024;
// Between two looks at a disk that has ample room; what is admitted meanwhile is taken off what was free.
const FRESH_MS = 1_000;
// Room is ample while what was admitted since the last look is at most this part of what is above the mark.
const AMPLE = 4;
// Writes are taken again only when there is a quarter more, so that they do not go on and off.
const AGAIN = 1.25;
// Files, indexes and logs take more than the records themselves.
const GROWTH = 2;

/**
 * The free bytes below which a disk is low: 5 % of it, at least 64 MiB, which is what commits under way
 * may still write, and at most 1 GiB; of a disk so small that this is much, a quarter.
 */
export function lowWater(totalBytes: number): number {
  return Math.floor(Math.min(1024 * MIB, Math.max(totalBytes * 0.05, 64 * MIB), totalBytes * 0.25));
}

/**
 * DiskRoom: refuses writes while there is still room to end what is under way, to read, to verify, to
 * delete and to back up elsewhere; a disk that is full to the last byte lets none of these go on.
 */
export class DiskRoom {
  readonly #parts: DiskRoomParts;
  readonly #low = new Set<string>();
  #seen: readonly DiskSpace[] = [];
  #seenAt = -Infinity;
  /** Bytes of writes under way. */
  #held = 0;
  /** Bytes of writes that ended, or began, since the disk was looked at. */
  #written = 0;
  #looking: Promise<readonly DiskSpace[]> | undefined;

  constructor(parts: DiskRoomParts) {
    this.#parts = parts;
  }

  /**
   * Keeps room for a write until it has ended, however it ends.
   *
   * @param bytes of the records; what files, indexes and logs take beside them is added.
   * @throws StoreError `full` when a disk is low, or would be after it.
   */
  async hold(bytes: number): Promise<Disposable> {
    const wanted = await this.#admit(bytes);
    this.#held += wanted;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#held -= wanted;
        this.#written += wanted;
      },
    };
  }

  /**
   * Counts bytes that are about to be written, until the disk shows them.
   *
   * @throws StoreError `full` when a disk is low, or would be after them.
   */
  async require(bytes: number): Promise<void> {
    this.#written += await this.#admit(bytes);
  }

  /** @throws StoreError `full` while a disk is low; for what only follows the journal. */
  requireNow(): Promise<void> {
    return this.require(0);
  }

  async #admit(bytes: number): Promise<number> {
    const wanted = bytes * GROWTH;
    for (const disk of await this.#look(wanted)) {
      const { isLow, neededBytes } = this.#judge(disk);
      if (isLow) throw refusal(disk, neededBytes);
      const needed = neededBytes + this.#held + this.#written + wanted;
      if (disk.freeBytes < needed) throw refusal(disk, needed);
    }
    return wanted;
  }

  /** The disks as they are. */
  async report(): Promise<readonly DiskReport[]> {
    this.#seenAt = -Infinity;
    const disks = await this.#look();
    return disks.map((disk) => ({ ...disk, ...this.#judge(disk) }));
  }

  #judge(disk: DiskSpace): Pick<DiskReport, "neededBytes" | "isLow"> {
    const lowBytes = this.#parts.lowBytes ?? lowWater(disk.totalBytes);
    const wasLow = this.#low.has(disk.place);
    const isLow = disk.freeBytes < (wasLow ? lowBytes * AGAIN : lowBytes);
    const judged = { isLow, neededBytes: isLow ? lowBytes * AGAIN : lowBytes };
    if (isLow === wasLow) return judged;
    if (isLow) this.#low.add(disk.place);
    else this.#low.delete(disk.place);
    this.#parts.onNotice?.(
      isLow
        ? `the disk is nearly full: ${told(disk.freeBytes)} are free at ${disk.place}; writes are refused and stores wait until ${told(judged.neededBytes)} are, reads go on`
        : `there is room again at ${disk.place}: ${told(disk.freeBytes)} are free, and writes are taken`,
    );
    return judged;
  }

  async #look(wanted = 0): Promise<readonly DiskSpace[]> {
    const { space, clock } = this.#parts.runtime;
    if (space === undefined) return [];
    const age = clock() - this.#seenAt;
    if (age >= 0 && age < FRESH_MS && this.#isAmple(wanted)) return this.#seen;
    this.#looking ??= this.#read(space);
    return this.#looking;
  }

  /** Whether what was seen last is so far above the mark that what was written since cannot matter. */
  #isAmple(wanted: number): boolean {
    const counted = this.#held + this.#written + wanted;
    return this.#seen.every(
      (disk) => counted <= (disk.freeBytes - this.#judge(disk).neededBytes) / AMPLE,
    );
  }

  async #read(space: NonNullable<Runtime["space"]>): Promise<readonly DiskSpace[]> {
    try {
      // What ends while the disk is looked at may not be in what is seen.
      this.#written = 0;
      this.#seen = await space();
      this.#seenAt = this.#parts.runtime.clock();
      return this.#seen;
    } finally {
      this.#looking = undefined;
    }
  }
}

function refusal({ place, freeBytes }: DiskSpace, neededBytes: number): StoreError {
  return new StoreError(
    "full",
    `${told(freeBytes)} are free at ${place} and ${told(neededBytes)} are needed: nothing was written; remove what is not needed there or enlarge the disk. Reads, verify, deletion and a backup to another disk go on`,
  );
}

function told(bytes: number): string {
  return bytes < 10 * 1024 * MIB
    ? `${Math.ceil(bytes / MIB)} MiB`
    : `${Math.floor(bytes / 1024 / MIB)} GiB`;
}
