import type { Random } from "../random.ts";

/** A file's bytes, and how many of them a power cut cannot take. */
interface Inode {
  bytes: Buffer;
  syncedBytes: number;
}

/** Why a disk does not do something, as errno says it. */
export class DiskError extends Error {
  readonly code: "EEXIST" | "ENOENT" | "ENOSPC";

  constructor(code: DiskError["code"], path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

const SECTOR_BYTES = 512;

/**
 * A disk in memory that forgets what POSIX lets it forget: bytes not synced, names in directories not
 * synced. Each method happens at once and whole; who wants it torn or late says so from outside.
 */
export class SimulatedDisk {
  readonly #random: Random;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();

  constructor(random: Random) {
    this.#random = random;
  }

  create(path: string): void {
    if (this.#names.has(path)) throw new DiskError("EEXIST", path);
    this.#names.set(path, { bytes: Buffer.alloc(0), syncedBytes: 0 });
  }

  append(path: string, bytes: Uint8Array): void {
    const inode = this.#require(path);
    inode.bytes = Buffer.concat([inode.bytes, bytes]);
  }

  sync(path: string): void {
    const inode = this.#require(path);
    inode.syncedBytes = inode.bytes.byteLength;
  }

  /** Gives a file a second name, only where there is none. */
  link(from: string, to: string): void {
    const inode = this.#require(from);
    if (this.#names.has(to)) throw new DiskError("EEXIST", to);
    this.#names.set(to, inode);
  }

  rename(from: string, to: string): void {
    this.#names.set(to, this.#require(from));
    this.#names.delete(from);
  }

  unlink(path: string): void {
    this.#require(path);
    this.#names.delete(path);
  }

  /** Makes the names of a directory durable, and their absence. */
  syncDirectory(directory: string): void {
    for (const path of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (directoryOf(path) !== directory) continue;
      const inode = this.#names.get(path);
      if (inode === undefined) this.#durableNames.delete(path);
      else this.#durableNames.set(path, inode);
    }
  }

  /** The bytes of a file; `undefined` where there is none. */
  read(path: string): Buffer | undefined {
    return this.#names.get(path)?.bytes;
  }

  /** Every file whose path begins so, sorted. */
  list(prefix: string): readonly string[] {
    return [...this.#names.keys()].filter((path) => path.startsWith(prefix)).sort();
  }

  /**
   * The power goes. Of what was not synced any part may be left: of each name the old or the new
   * meaning, of each file a prefix of its tail, and the last sector of that torn.
   */
  powerCut(): void {
    const left = new Map<string, Inode>();
    const paths = [...new Set([...this.#names.keys(), ...this.#durableNames.keys()])].sort();
    for (const path of paths) {
      const now = this.#names.get(path);
      const durable = this.#durableNames.get(path);
      const inode = now === durable || this.#random.chance(0.5) ? durable : now;
      if (inode !== undefined) left.set(path, inode);
    }
    for (const inode of new Set(left.values())) this.#tear(inode);
    this.#names = left;
    this.#durableNames = new Map(left);
  }

  #tear(inode: Inode): void {
    const tail = inode.bytes.byteLength - inode.syncedBytes;
    if (tail === 0) return;
    const kept = inode.syncedBytes + this.#random.below(tail + 1);
    const bytes = Buffer.from(inode.bytes.subarray(0, kept));
    if (this.#random.chance(0.5)) {
      const from = Math.max(inode.syncedBytes, kept - SECTOR_BYTES);
      bytes.fill(0, from, kept);
    }
    inode.bytes = bytes;
    inode.syncedBytes = kept;
  }

  #require(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new DiskError("ENOENT", path);
    return inode;
  }
}

/** The part of a path before its last slash. */
export function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
