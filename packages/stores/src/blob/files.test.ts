import { chmod, chown, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { withoutPrivileges } from "../testing/without-privileges.ts";
import { describeBlob } from "./conformance.ts";
import { openFileBlobStore } from "./files.ts";

const scope = scopeFor("tenant-a");
const module = new URL("./files.ts", import.meta.url).href;

describeBlob("files", async ({ bytesMax }) => {
  const directory = await makeTemporaryDirectory();
  const { path } = directory;
  const openStore = () => openFileBlobStore({ directory: path, bytesMax });
  return {
    store: await openStore(),
    reopen: openStore,
    childStore: `(await import("${module}")).openFileBlobStore(${JSON.stringify({ directory: path })})`,
    faults: {
      async readOnly(work) {
        const blobs = join(path, "tenants", "tenant-a", "blobs");
        await chmod(path, 0o755);
        for (const part of [join(blobs, "~writing"), blobs]) await chmod(part, 0o555);
        await chmod(join(blobs, "k"), 0o444);
        await withoutPrivileges(work);
        for (const part of [join(blobs, "~writing"), blobs]) await chmod(part, 0o755);
      },
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});

test("a blob lies at the path its key says, so that it can be found without Custody", async () => {
  await using directory = await makeTemporaryDirectory();
  const store = await openFileBlobStore({ directory: directory.path });
  await store.put(scope, "segments/2026/x.zst", Uint8Array.of(1));
  const blobs = join(directory.path, "tenants", "tenant-a", "blobs");
  expect(await readdir(join(blobs, "segments", "2026"))).toEqual(["x.zst"]);
  expect(await readdir(join(blobs, "~writing"))).toEqual([]);
});

test("temporaries of processes that are gone are removed at opening, those of live ones are not", async () => {
  await using directory = await makeTemporaryDirectory();
  const writing = join(directory.path, "tenants", "tenant-a", "blobs", "~writing");
  await mkdir(writing, { recursive: true });
  const ownEarlierLife = `${process.pid}_1_a`;
  const living = `${process.ppid}_1_b`;
  for (const name of [ownEarlierLife, living, "999999999_1_c", "garbage"]) {
    await writeFile(join(writing, name), "left over");
  }
  const store = await openFileBlobStore({ directory: directory.path });
  expect(await readdir(writing)).toEqual([living]);

  let during: readonly string[] = [];
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    await openFileBlobStore({ directory: directory.path });
    during = await readdir(writing);
    yield Uint8Array.of(1);
  };
  await store.put(scope, "k", bytes());
  expect(during).toHaveLength(2);
  expect(await readdir(writing)).toEqual([living]);
});

test("a symbolic link, wherever it stands in the path, is not followed", async () => {
  await using directory = await makeTemporaryDirectory();
  await using outside = await makeTemporaryDirectory();
  await writeFile(join(outside.path, "secret"), "secret");
  const store = await openFileBlobStore({ directory: directory.path });
  await store.put(scope, "a", Uint8Array.of(1));
  const blobs = join(directory.path, "tenants", "tenant-a", "blobs");
  await symlink(outside.path, join(blobs, "dir"));
  await symlink(join(outside.path, "secret"), join(blobs, "file"));
  await symlink(outside.path, join(directory.path, "tenants", "tenant-b"));
  const corrupt = { name: "StoreError", code: "corrupt" };
  await expect(store.read(scope, "dir/secret")).rejects.toMatchObject(corrupt);
  await expect(store.read(scope, "file")).rejects.toMatchObject(corrupt);
  await expect(store.put(scope, "dir/new", Uint8Array.of(1))).rejects.toMatchObject(corrupt);
  await expect(store.delete(scope, "dir/secret")).rejects.toMatchObject(corrupt);
  await expect(store.put(scopeFor("tenant-b"), "k", Uint8Array.of(1))).rejects.toMatchObject(
    corrupt,
  );
  expect((await store.list(scope, "", { limit: 10 })).map(({ key }) => key)).toEqual(["a"]);
  expect(await readdir(outside.path)).not.toContain("new");
});

test("a directory that cannot be made is reported as read-only", async () => {
  await using directory = await makeTemporaryDirectory();
  if (process.getuid?.() === 0) await chown(directory.path, 65_534, 65_534);
  await chmod(directory.path, 0o555);
  await withoutPrivileges(async () => {
    await expect(
      openFileBlobStore({ directory: join(directory.path, "below") }),
    ).rejects.toMatchObject({ name: "StoreError", code: "read-only" });
  });
});
