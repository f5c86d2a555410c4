import { createHash } from "node:crypto";

import type { BlobInfo, BlobStore } from "@custody/stores/blob/port";
import type { Scope } from "@custody/stores/scope";

import { keyedHash } from "../keys/keyed-hash.ts";
import type { KeyService } from "../keys/key-service.ts";
import { openStream, SEALED_MAGIC, sealStream } from "../keys/sealed-stream.ts";
import type { Runtime } from "../runtime.ts";

export interface OriginalFilesParts {
  readonly blob: () => Promise<BlobStore>;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  readonly isSealed: boolean;
}

/** OriginalFiles: blobs sealed each with a key of its own, so that one can be destroyed alone. */
export class OriginalFiles {
  readonly #parts: OriginalFilesParts;

  constructor(parts: OriginalFilesParts) {
    this.#parts = parts;
  }

  /** Where an imported file is kept: its name tells nothing without the tenant's key. */
  async keyOf(scope: Scope, sha256: string): Promise<string> {
    const hashKey = await this.#parts.keys.hashKey(scope.tenant);
    return `originals/${Buffer.from(keyedHash(hashKey, "file", sha256)).toString("hex")}`;
  }

  /** Seals and stores a blob while it streams. @throws StoreError `conflict` when `ifAbsent` and it exists. */
  async put(
    scope: Scope,
    key: string,
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly ifAbsent?: boolean } = {},
  ): Promise<BlobInfo> {
    const { keys, runtime, isSealed } = this.#parts;
    const blob = await this.#parts.blob();
    if (!isSealed) return blob.put(scope, key, bytes, options);
    const place = { tenant: scope.tenant, blobId: key };
    const sealingKey = await keys.originalKey(scope.tenant, key, { create: true });
    const sealed = sealStream(bytes, place, { key: sealingKey, salt: runtime.random(16) });
    return blob.put(scope, key, sealed, options);
  }

  /** Whether a blob is there. */
  async has(scope: Scope, key: string): Promise<boolean> {
    return (await (await this.#parts.blob()).stat(scope, key)) !== undefined;
  }

  /** Opens a blob while it streams; `undefined` when there is none. */
  async get(scope: Scope, key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const blob = await this.#parts.blob();
    const start = await blob.read(scope, key, { start: 0, end: SEALED_MAGIC.length });
    const bytes = await blob.stream(scope, key);
    // What was written while encryption was off stays readable after it is switched on.
    if (bytes === undefined || Buffer.from(start ?? []).toString("latin1") !== SEALED_MAGIC)
      return bytes;
    const place = { tenant: scope.tenant, blobId: key };
    return openStream(bytes, place, await this.#parts.keys.originalKey(scope.tenant, key));
  }

  async delete(scope: Scope, key: string): Promise<void> {
    await (await this.#parts.blob()).delete(scope, key);
  }
}

/** SHA-256 and length of a stream. */
export async function hashStream(
  bytes: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const hash = createHash("sha256");
  let count = 0;
  for await (const chunk of bytes) {
    hash.update(chunk);
    count += chunk.byteLength;
    onBytes(count);
  }
  return { sha256: hash.digest("hex"), bytes: count };
}
