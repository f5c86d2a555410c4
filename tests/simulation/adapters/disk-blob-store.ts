import { checkTenant } from "@custody/contract/ids";
import { BLOB_KEY_LENGTH_MAX, checkBlobKey } from "@custody/stores/blob/port";
import type { BlobInfo, BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";

import { DiskError, directoryOf } from "./simulated-disk.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** How a call of the disk is made: at once, or in virtual time and with faults. */
export type DiskCall = <Answer>(
  label: string,
  work: (disk: SimulatedDisk) => Answer,
  /** What has happened when it fails in the midst. */
  inPart?: (disk: SimulatedDisk, share: number) => void,
) => Promise<Answer>;

/** Options of {@link openDiskBlobStore}. */
export interface DiskBlobStoreOptions {
  readonly call: DiskCall;
  readonly clock: () => number;
  /** Tells unfinished files of this process from those of another. */
  readonly writer: string;
  /** Longest blob; default 1 GiB. */
  readonly bytesMax?: number;
}

const STREAM_CHUNK_BYTES = 64 * 1024;

/**
 * A blob store on the simulated disk, step for step as the engine for files does it: a temporary file,
 * its bytes synced, a second name for it, the directory synced.
 */
export function openDiskBlobStore(options: DiskBlobStoreOptions): BlobStore {
  const { call, clock, writer, bytesMax = 2 ** 30 } = options;
  const pathOf = (scope: Scope, key: string): string =>
    `${checkTenant(scope.tenant)}/${checkBlobKey(key)}`;
  const info = (key: string, bytes: number): BlobInfo => ({ key, bytes, modifiedAt: clock() });
  const find = (path: string): Promise<Buffer | undefined> =>
    call("read", (disk) => disk.read(path));
  let written = 0;

  const put: BlobStore["put"] = async (
    scope,
    key,
    bytes,
    { ifAbsent = false, storageClass } = {},
  ) => {
    const path = pathOf(scope, key);
    if (storageClass !== undefined) throw unsupported("storage classes");
    written += 1;
    const temporary = `${scope.tenant}/~writing/${writer}-${written}`;
    try {
      await call("create", (disk) => disk.create(temporary));
      let length = 0;
      for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
        length += chunk.byteLength;
        if (length > bytesMax) throw new StoreError("limit", `blob ${key} is too long`);
        // The caller may fill its buffer again while the disk is slow.
        const copy = Uint8Array.from(chunk);
        await call(
          "append",
          (disk) => disk.append(temporary, copy),
          (disk, share) => disk.append(temporary, copy.subarray(0, share * copy.byteLength)),
        );
      }
      await call("sync", (disk) => disk.sync(temporary));
      await call("link", (disk) => {
        refuseNesting(disk, path, key);
        if (ifAbsent) disk.link(temporary, path);
        else disk.rename(temporary, path);
      });
      await call("sync directory", (disk) => disk.syncDirectory(directoryOf(path)));
      return info(key, length);
    } catch (cause) {
      throw mapDiskError(cause, key);
    } finally {
      await call("unlink", (disk) => remove(disk, temporary)).catch(() => undefined);
    }
  };

  return {
    role: "blob",
    engine: "memory",
    limits: { keyLengthMax: BLOB_KEY_LENGTH_MAX, bytesMax, presignMsMax: 0 },
    capabilities: {
      canNestKeys: false,
      isIfAbsentExact: true,
      canRetain: false,
      canPresign: false,
      hasStorageClasses: false,
    },
    put,
    read: async (scope, key, range) => {
      const bytes = await find(pathOf(scope, key));
      return bytes && Uint8Array.from(bytes.subarray(range?.start ?? 0, range?.end));
    },
    stream: async (scope, key) => {
      const bytes = await find(pathOf(scope, key));
      return bytes && chunks(Buffer.from(bytes));
    },
    stat: async (scope, key) => {
      const bytes = await find(pathOf(scope, key));
      return bytes && info(key, bytes.byteLength);
    },
    list: async (scope, prefix, { limit, after = "" }) => {
      const root = `${checkTenant(scope.tenant)}/`;
      return call("list", (disk) =>
        disk
          .list(root + prefix)
          .map((path) => ({ path, key: path.slice(root.length) }))
          .filter(({ key }) => key > after && !key.startsWith("~writing/"))
          .slice(0, limit)
          .map(({ path, key }) => info(key, disk.read(path)?.byteLength ?? 0)),
      );
    },
    delete: async (scope, key) => {
      const path = pathOf(scope, key);
      await call("unlink", (disk) => remove(disk, path));
      await call("sync directory", (disk) => disk.syncDirectory(directoryOf(path)));
    },
    usage: async (scope) => {
      const root = `${checkTenant(scope.tenant)}/`;
      return call("usage", (disk) => {
        const paths = disk.list(root).filter((path) => !path.startsWith(`${root}~writing/`));
        const bytes = paths.reduce((sum, path) => sum + (disk.read(path)?.byteLength ?? 0), 0);
        return { blobs: paths.length, bytes };
      });
    },
    retain: () => Promise.reject(unsupported("retention")),
    legalHold: () => Promise.reject(unsupported("legal holds")),
    protection: () => Promise.reject(unsupported("retention")),
    presign: () => Promise.reject(unsupported("presigned addresses")),
    async [Symbol.asyncDispose]() {},
  };
}

function refuseNesting(disk: SimulatedDisk, path: string, key: string): void {
  const above = path.split("/").map((_, index, parts) => parts.slice(0, index + 1).join("/"));
  const isBelow = above.slice(1, -1).some((parent) => disk.read(parent) !== undefined);
  if (isBelow || disk.list(`${path}/`).length > 0)
    throw new StoreError("refused", `blob ${key} would lie in, or hold, another blob`);
}

function remove(disk: SimulatedDisk, path: string): void {
  if (disk.read(path) !== undefined) disk.unlink(path);
}

function mapDiskError(cause: unknown, key: string): unknown {
  if (!(cause instanceof DiskError)) return cause;
  const code = { EEXIST: "conflict", ENOENT: "unavailable", ENOSPC: "full" } as const;
  return new StoreError(code[cause.code], `blob ${key}: ${cause.message}`, { cause });
}

async function* chunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += STREAM_CHUNK_BYTES)
    yield Uint8Array.from(bytes.subarray(at, at + STREAM_CHUNK_BYTES));
}

function unsupported(what: string): StoreError {
  return new StoreError("unsupported", `a blob store on the simulated disk has no ${what}`);
}
