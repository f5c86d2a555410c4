import { hash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

import { checkTenant } from "@custody/contract/ids";

import type { Scope } from "../scope.ts";
import type { BlobStore } from "./port.ts";

export interface BlockFilesOptions {
  /** Where the files lie; may be deleted at any moment. */
  readonly directory: string;
  /** Bytes of files kept at most; default 256 MiB. */
  readonly bytesMax?: number;
}

const BYTES_MAX = 256 * 1024 * 1024;
/** Parts of what never changes under its key: segments. */
const PREFIX = "segments/";
const DIGEST_BYTES = 32;

/**
 * Keeps parts of segments that were read from a distant blob store in local files: the fourth level of
 * the cache. They lie there as they are stored, compressed and sealed, each behind its SHA-256, so
 * nothing is readable on this disk that is not in the store; decoding one takes a millisecond, fetching
 * it many. Whole streams go past it: what is verified is the store itself.
 */
export async function keepBlocksInFiles(
  store: BlobStore,
  options: BlockFilesOptions,
): Promise<BlobStore> {
  const files = new BlockFiles(options);
  await files.load();
  const read: BlobStore["read"] = async (scope, key, range) => {
    if (range === undefined || !key.startsWith(PREFIX)) return store.read(scope, key, range);
    const name = `${range.start}-${range.end}`;
    const kept = await files.read(scope, key, name);
    if (kept !== undefined) return kept;
    const bytes = await store.read(scope, key, range);
    if (bytes !== undefined) await files.write(scope, key, { name, bytes });
    return bytes;
  };
  const forget: BlobStore["delete"] = async (scope, key) => {
    await store.delete(scope, key);
    await files.forget(scope, key);
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === "read") return read;
      if (name === "delete") return forget;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
}

/** The files, the longest unused first. Whatever fails here, the store answers. */
class BlockFiles {
  readonly #directory: string;
  readonly #bytesMax: number;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor({ directory, bytesMax = BYTES_MAX }: BlockFilesOptions) {
    this.#directory = directory;
    this.#bytesMax = bytesMax;
  }

  /** Finds what an earlier process has left, oldest first. */
  async load(): Promise<void> {
    const found = await readdir(this.#directory, { recursive: true, withFileTypes: true }).catch(
      () => [],
    );
    const files: { path: string; bytes: number; at: number }[] = [];
    for (const entry of found.filter((one) => one.isFile())) {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = await stat(path);
      files.push({ path, bytes: size, at: mtimeMs });
    }
    files.sort((left, right) => left.at - right.at);
    for (const { path, bytes } of files) this.#count(path, bytes);
    await this.#shrink();
  }

  async read(scope: Scope, key: string, name: string): Promise<Uint8Array | undefined> {
    const path = join(this.#place(scope, key), name);
    const size = this.#sizes.get(path);
    if (size === undefined) return undefined;
    this.#sizes.delete(path);
    this.#sizes.set(path, size);
    const file = await readFile(path).catch(() => undefined);
    const bytes = file?.subarray(DIGEST_BYTES);
    if (bytes !== undefined && file?.subarray(0, DIGEST_BYTES).equals(digest(bytes)) === true) {
      return bytes;
    }
    await this.#drop(path);
    return undefined;
  }

  async write(
    scope: Scope,
    key: string,
    { name, bytes }: { readonly name: string; readonly bytes: Uint8Array },
  ): Promise<void> {
    const path = join(this.#place(scope, key), name);
    const file = Buffer.concat([digest(bytes), bytes]);
    if (file.byteLength > this.#bytesMax / 8) return;
    const temporary = `${path}.${randomUUID()}`;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(temporary, file, { mode: 0o600 });
      await rename(temporary, path);
    } catch {
      // A full or read-only disk costs the cache, not the answer.
      await rm(temporary, { force: true }).catch(() => undefined);
      return;
    }
    this.#count(path, file.byteLength);
    await this.#shrink();
  }

  /** Removes every part of a blob. */
  async forget(scope: Scope, key: string): Promise<void> {
    const place = this.#place(scope, key);
    for (const path of this.#sizes.keys()) {
      if (!relative(place, path).startsWith("..")) this.#discount(path);
    }
    await rm(place, { recursive: true, force: true });
  }

  #place({ tenant }: Scope, key: string): string {
    return join(this.#directory, checkTenant(tenant), hash("sha256", key).slice(0, 32));
  }

  #count(path: string, bytes: number): void {
    this.#discount(path);
    this.#sizes.set(path, bytes);
    this.#bytes += bytes;
  }

  #discount(path: string): void {
    this.#bytes -= this.#sizes.get(path) ?? 0;
    this.#sizes.delete(path);
  }

  async #shrink(): Promise<void> {
    for (const oldest of this.#sizes.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      await this.#drop(oldest);
    }
  }

  async #drop(path: string): Promise<void> {
    this.#discount(path);
    await rm(path, { force: true }).catch(() => undefined);
  }
}

function digest(bytes: Uint8Array): Buffer {
  return hash("sha256", bytes, "buffer");
}
