import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { keepBlocksInFiles } from "./block-files.ts";
import { openFileBlobStore } from "./files.ts";
import type { BlobStore } from "./port.ts";

const scope = scopeFor("tenant-a");
const KEY = "segments/2026-11/a.segment";
const BYTES = Uint8Array.from({ length: 4_000 }, (_, index) => index % 251);

let home: TemporaryDirectory;
let distant: BlobStore;
beforeEach(async () => {
  home = await makeTemporaryDirectory();
  distant = await openFileBlobStore({ directory: join(home.path, "distant") });
  await distant.put(scope, KEY, BYTES);
});
afterEach(async () => {
  await distant[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const keep = (bytesMax?: number): Promise<BlobStore> =>
  keepBlocksInFiles(distant, {
    directory: join(home.path, "blocks"),
    ...(bytesMax === undefined ? {} : { bytesMax }),
  });

/** The paths of the files kept. */
async function files(): Promise<readonly string[]> {
  const root = join(home.path, "blocks");
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
}

const part = (store: BlobStore, start: number, end: number): Promise<Uint8Array | undefined> =>
  store.read(scope, KEY, { start, end });

test("a part is fetched once, and found by a later process too", async () => {
  const read = vi.spyOn(distant, "read");
  const store = await keep();
  expect(await part(store, 10, 20)).toEqual(BYTES.subarray(10, 20));
  expect(new Uint8Array((await part(store, 10, 20)) ?? [])).toEqual(BYTES.slice(10, 20));
  const later = await keep();
  expect(new Uint8Array((await part(later, 10, 20)) ?? [])).toEqual(BYTES.slice(10, 20));
  expect(read).toHaveBeenCalledTimes(1);
});

test("a file that was altered is not believed", async () => {
  const store = await keep();
  await part(store, 0, 100);
  const [path = ""] = await files();
  const altered = await readFile(path);
  altered.writeUInt8(altered.readUInt8(50) ^ 1, 50);
  await writeFile(path, altered);
  expect(new Uint8Array((await part(store, 0, 100)) ?? [])).toEqual(BYTES.slice(0, 100));
});

test("the files take no more room than they may, and those used last stay", async () => {
  const store = await keep(1_000);
  for (let start = 0; start < 2_000; start += 50) {
    await part(store, start, start + 50);
    await part(store, 0, 50);
  }
  const kept = await files();
  expect(kept).toHaveLength(12);
  expect(kept.some((path) => path.endsWith("/0-50"))).toBe(true);
});

test("what is deleted leaves no part behind", async () => {
  const store = await keep();
  await part(store, 0, 100);
  await part(store, 100, 200);
  await store.delete(scope, KEY);
  expect(await files()).toEqual([]);
  expect(await part(store, 0, 100)).toBeUndefined();
});

test("whole blobs, and blobs that can change, come from the store", async () => {
  const store = await keep();
  await store.put(scope, "originals/a", BYTES);
  await store.read(scope, "originals/a", { start: 0, end: 5 });
  await store.read(scope, KEY);
  for await (const chunk of (await store.stream(scope, KEY)) ?? [])
    expect(chunk).toHaveLength(4_000);
  expect(await files()).toEqual([]);
});

test("a place that cannot be written costs the cache, not the answer", async () => {
  await writeFile(join(home.path, "blocks"), "a file where a directory should be");
  const store = await keep();
  expect(new Uint8Array((await part(store, 0, 100)) ?? [])).toEqual(BYTES.slice(0, 100));
});
