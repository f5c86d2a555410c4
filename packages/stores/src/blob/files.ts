import { constants } from "node:fs";
import {
  link,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rmdir,
  stat,
  unlink,
} from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

import { checkTenant } from "@custody/contract/ids";

import { mapFileError } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { BLOB_KEY_LENGTH_MAX, checkBlobKey } from "./port.ts";
import type { BlobInfo, BlobStore } from "./port.ts";
import { listBlobs, measureBlobs } from "./file-walk.ts";
import { openTemporary, sweepTemporaries } from "./temporary-files.ts";

export interface FileBlobStoreOptions {
  /** The data directory; a tenant's blobs lie in `tenants/<tenant>/blobs` below it. */
  readonly directory: string;
  /** Longest blob; default 1 TiB. */
  readonly bytesMax?: number;
}

const STREAM_CHUNK_BYTES = 256 * 1024;
/** A parent directory may be tidied away between its making and its use; more often is no race. */
const PUT_ATTEMPTS_MAX = 5;

/**
 * Embedded blob store: one file per blob, at the path its key says.
 *
 * A blob is written under a temporary name in the same file system, synced, and moved into place;
 * temporaries of processes that are gone are removed here. No symbolic link is followed.
 *
 * @throws StoreError `read-only`, `full` or `unavailable` when the directory cannot be made.
 */
export async function openFileBlobStore(options: FileBlobStoreOptions): Promise<BlobStore> {
  const bytesMax = options.bytesMax ?? 2 ** 40;
  const directory = await fileCall("open the blob directory", async () => {
    await mkdir(options.directory, { recursive: true });
    const real = await realpath(options.directory);
    for (const tenant of await readdirOrNothing(join(real, "tenants"))) {
      await sweepTemporaries(join(real, "tenants", tenant, "blobs"));
    }
    return real;
  });
  const tenantRoot = (scope: Scope): string =>
    join(directory, "tenants", checkTenant(scope.tenant), "blobs");

  return {
    role: "blob",
    engine: "files",
    limits: { keyLengthMax: BLOB_KEY_LENGTH_MAX, bytesMax, presignMsMax: 0 },
    ...UNPROTECTED,

    put: (scope, key, bytes, { ifAbsent = false, storageClass } = {}) =>
      fileCall(`put blob ${checkBlobKey(key)}`, async () => {
        if (storageClass !== undefined) throw unsupported("storage classes");
        const root = tenantRoot(scope);
        return await putFile({ directory, root, key, bytesMax, ifAbsent }, bytes);
      }),

    read: (scope, key, range) =>
      fileCall(`read blob ${checkBlobKey(key)}`, async () => {
        await using file = await openBlob(tenantRoot(scope), key);
        return file && (await readRange(file, range));
      }),

    stream: (scope, key) =>
      fileCall(`read blob ${checkBlobKey(key)}`, async () => {
        const file = await openBlob(tenantRoot(scope), key);
        return file && chunks(file, key);
      }),

    stat: (scope, key) =>
      fileCall(`look at blob ${checkBlobKey(key)}`, async () => {
        await using file = await openBlob(tenantRoot(scope), key);
        return file && (await blobInfo(file, key));
      }),

    list: (scope, prefix, { limit, after }) =>
      fileCall("list blobs", async () => {
        const root = tenantRoot(scope);
        if (!(await isDirectory(root))) return [];
        await checkNoLinks(root, prefix);
        return await listBlobs(root, prefix, limit, after);
      }),

    delete: (scope, key) =>
      fileCall(`delete blob ${checkBlobKey(key)}`, () => deleteFile(tenantRoot(scope), key)),

    usage: (scope) => fileCall("measure blobs", () => measureBlobs(tenantRoot(scope))),

    async [Symbol.asyncDispose]() {},
  };
}

// Whoever may write a file may delete it: a promise to keep it would be ours alone.
const UNPROTECTED: Pick<
  BlobStore,
  "capabilities" | "retain" | "legalHold" | "protection" | "presign"
> = {
  capabilities: {
    canNestKeys: false,
    isIfAbsentExact: true,
    canRetain: false,
    canPresign: false,
    hasStorageClasses: false,
  },
  retain: () => Promise.reject(unsupported("retention")),
  legalHold: () => Promise.reject(unsupported("legal holds")),
  protection: () => Promise.reject(unsupported("retention")),
  presign: () => Promise.reject(unsupported("presigned addresses")),
};

function unsupported(what: string): StoreError {
  return new StoreError("unsupported", `a blob store of files has no ${what}`);
}

interface Target {
  readonly directory: string;
  readonly root: string;
  readonly key: string;
  readonly bytesMax: number;
  readonly ifAbsent: boolean;
}

async function putFile(
  target: Target,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<BlobInfo> {
  const { directory, root, key, bytesMax, ifAbsent } = target;
  await makeDirectory(root, directory);
  await checkNoLinks(root, key);
  const temporary = await openTemporary(root);
  try {
    const info = await writeWhole(temporary.file, key, bytes, bytesMax);
    await moveIntoPlace(temporary.path, target, ifAbsent);
    return info;
  } finally {
    await temporary[Symbol.asyncDispose]();
  }
}

async function writeWhole(
  file: FileHandle,
  key: string,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<BlobInfo> {
  let written = 0;
  const write = async (chunk: Uint8Array): Promise<void> => {
    written += chunk.byteLength;
    if (written > bytesMax)
      throw new StoreError("limit", `blob ${key} has more than ${bytesMax} bytes`);
    await file.appendFile(chunk);
  };
  if (bytes instanceof Uint8Array) await write(bytes);
  else for await (const chunk of bytes) await write(chunk);
  await file.datasync();
  return await blobInfo(file, key);
}

async function moveIntoPlace(temporary: string, target: Target, ifAbsent: boolean): Promise<void> {
  const { root, key } = target;
  const path = join(root, key);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await makeDirectory(dirname(path), root);
      await checkNoLinks(dirname(path), key);
      // A hard link is the one atomic way to create a name only where there is none (link(2)).
      if (ifAbsent) await link(temporary, path);
      else await rename(temporary, path);
      await syncDirectory(dirname(path));
      return;
    } catch (cause) {
      if (errno(cause) === "ENOENT" && attempt < PUT_ATTEMPTS_MAX) continue;
      throw mapPutError(cause, target, await isDirectory(path));
    }
  }
}

function mapPutError(cause: unknown, { key }: Target, isNested: boolean): unknown {
  const code = errno(cause);
  const isBlocked = code === "EEXIST" && errnoCall(cause) === "mkdir";
  if (code === "ENOTDIR" || isBlocked || isNested) {
    return new StoreError("refused", `blob ${key} would lie in, or hold, another blob`, { cause });
  }
  return code === "EEXIST" ? new StoreError("conflict", `blob ${key} exists`, { cause }) : cause;
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Makes what is missing between `above`, which exists, and `path`; each new name survives power loss. */
async function makeDirectory(path: string, above: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; made.length > above.length; made = dirname(made)) {
    await syncDirectory(dirname(made));
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function deleteFile(root: string, key: string): Promise<void> {
  const path = join(root, key);
  try {
    await checkNoLinks(dirname(path), key);
    if (await isDirectory(path)) return;
    await unlink(path);
    await syncDirectory(dirname(path));
    // Empty directories would stand in the way of a blob of their name.
    for (let above = dirname(path); above !== root; above = dirname(above)) await rmdir(above);
  } catch (cause) {
    if (!["ENOENT", "ENOTDIR", "ENOTEMPTY"].includes(errno(cause) ?? "")) throw cause;
  }
}

async function openBlob(root: string, key: string): Promise<FileHandle | undefined> {
  const path = join(root, key);
  try {
    await checkNoLinks(dirname(path), key);
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return undefined;
  } catch (cause) {
    const code = errno(cause);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "ELOOP") throw linkError(key, cause);
    throw cause;
  }
}

/** The directory's real path is the one we built, so no part of it leads elsewhere. */
async function checkNoLinks(directory: string, key: string): Promise<void> {
  if ((await realpath(directory)) !== directory) throw linkError(key);
}

function linkError(key: string, cause?: unknown): StoreError {
  return new StoreError("corrupt", `a symbolic link stands in the path of blob ${key}`, { cause });
}

async function readRange(
  file: FileHandle,
  range: { readonly start: number; readonly end: number } | undefined,
): Promise<Uint8Array> {
  const { size } = await file.stat();
  const start = Math.min(Math.max(range?.start ?? 0, 0), size);
  const end = Math.max(start, Math.min(range?.end ?? size, size));
  const bytes = new Uint8Array(end - start);
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, start + at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}

async function* chunks(file: FileHandle, key: string): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const chunk = new Uint8Array(STREAM_CHUNK_BYTES);
      const { bytesRead } = await fileCall(`read blob ${key}`, () => file.read(chunk));
      if (bytesRead === 0) return;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function blobInfo(file: FileHandle, key: string): Promise<BlobInfo> {
  const { size, mtimeMs } = await file.stat();
  return { key, bytes: size, modifiedAt: Math.trunc(mtimeMs) };
}

async function readdirOrNothing(path: string): Promise<readonly string[]> {
  return await readdir(path).catch((cause: unknown) => {
    if (errno(cause) === "ENOENT") return [];
    throw cause;
  });
}

function errno(cause: unknown): string | undefined {
  return cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
}

function errnoCall(cause: unknown): string | undefined {
  return cause instanceof Error && "syscall" in cause ? String(cause.syscall) : undefined;
}

async function fileCall<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw mapFileError(doing, cause);
  }
}
