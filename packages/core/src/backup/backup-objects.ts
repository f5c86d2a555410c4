import { createHash, createHmac, hash } from "node:crypto";

import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { deriveKey, SALT_BYTES } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import type { KeyService } from "../keys/key-service.ts";
import { openStream, sealStream } from "../keys/sealed-stream.ts";
import type { Runtime } from "../runtime.ts";
import type { ObjectCodec, ObjectRef } from "./backup-manifest.ts";

/** Where objects lie, and what seals them. */
export interface BackupObjectsParts {
  readonly blob: BlobStore;
  readonly keys: KeyService;
  readonly runtime: Runtime;
}

/** Longest object that is held whole: packs and pages; a pack may go over by one entry's lines. */
const WHOLE_BYTES_MAX = 128 * 1024 * 1024;

/** Everything in a repository lies under this scope. */
export function repositoryScope({ user }: Runtime): Scope {
  return { tenant: SYSTEM_TENANT, actor: user, deadline: Number.POSITIVE_INFINITY };
}

/**
 * BackupObjects: sealed, immutable, content-addressed bytes in a repository.
 *
 * An object's name is a keyed hash of what is in it: equal parts are stored once, and a name tells
 * nothing to whom does not have the key.
 */
export class BackupObjects {
  readonly #blob: BlobStore;
  readonly #runtime: Runtime;
  readonly #scope: Scope;
  readonly #sealingKey: Uint8Array;
  readonly #nameKey: Uint8Array;

  constructor({ blob, runtime }: BackupObjectsParts, backupKey: Uint8Array) {
    this.#blob = blob;
    this.#runtime = runtime;
    this.#scope = repositoryScope(runtime);
    const derive = (use: string): Uint8Array =>
      deriveKey(backupKey, new Uint8Array(0), associatedData(use));
    this.#sealingKey = derive("custody backup sealing key v1");
    this.#nameKey = derive("custody backup names v1");
  }

  /** The name under which bytes of this SHA-256 (hex) are kept. */
  nameOf(sha256: string): string {
    return this.tag("object", Buffer.from(sha256, "hex"));
  }

  /** Keyed hash of bytes for one purpose, hex: what cannot be made without the backup key. */
  tag(purpose: string, bytes: Uint8Array): string {
    return createHmac("sha256", this.#nameKey).update(associatedData(purpose, bytes)).digest("hex");
  }

  /** Whether there is an object of this name; not whether it is whole. */
  async has(name: string): Promise<boolean> {
    return (await this.#blob.stat(this.#scope, objectKey(name))) !== undefined;
  }

  /** Writes small bytes; what is there under the name is replaced. */
  async put(bytes: Uint8Array, codec: ObjectCodec): Promise<ObjectRef> {
    const ref = this.refOf(bytes, codec);
    const packed = codec === "none" ? bytes : await this.#runtime.codec.compress(bytes);
    const sealed = this.seal(ref.object, once(packed));
    await this.#blob.put(this.#scope, objectKey(ref.object), sealed);
    return ref;
  }

  /** What names bytes once they are put. */
  refOf(bytes: Uint8Array, codec: ObjectCodec): ObjectRef {
    const sha256 = hash("sha256", bytes, "hex");
    return { object: this.nameOf(sha256), sha256, bytes: bytes.byteLength, codec };
  }

  /**
   * Writes a stream whose hash is known beforehand.
   *
   * @throws CoreError `damaged` when other bytes came; nothing is kept of them.
   */
  async putStream(source: AsyncIterable<Uint8Array>, ref: ObjectRef): Promise<void> {
    const sealed = this.seal(ref.object, checked(source, ref, "what was to be backed up"));
    await this.#blob.put(this.#scope, objectKey(ref.object), sealed);
  }

  /** Seals bytes for a place of the repository, as objects and manifests are. */
  seal(blobId: string, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const salt = this.#runtime.random(SALT_BYTES);
    return sealStream(source, placeOf(blobId), { key: this.#sealingKey, salt });
  }

  /** Opens what {@link BackupObjects.seal} sealed for the place. @throws CoreError `damaged`. */
  open(blobId: string, sealed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    return openStream(sealed, placeOf(blobId), this.#sealingKey);
  }

  /**
   * The bytes of an object, whole.
   *
   * @throws CoreError `damaged` naming the object and what is wrong with it.
   */
  async read(ref: ObjectRef): Promise<Uint8Array> {
    if (ref.bytes > WHOLE_BYTES_MAX) throw damaged(ref, "it is too long for what it should be");
    const packed = await collectBytes(await this.#opened(ref));
    const bytes =
      ref.codec === "none"
        ? packed
        : await this.#runtime.codec.decompress(packed, ref.bytes).catch((cause: unknown) => {
            throw damaged(ref, "it does not decompress to what it was", cause);
          });
    if (bytes.byteLength !== ref.bytes || hash("sha256", bytes, "hex") !== ref.sha256)
      throw damaged(ref, "its bytes are not those that were backed up");
    return bytes;
  }

  /** The bytes of an uncompressed object as a stream; the last of them come only when all are right. */
  async *stream(ref: ObjectRef): AsyncGenerator<Uint8Array> {
    if (ref.codec !== "none") {
      yield await this.read(ref);
      return;
    }
    yield* checked(await this.#opened(ref), ref, `backup object ${ref.object}`);
  }

  async #opened(ref: ObjectRef): Promise<AsyncIterable<Uint8Array>> {
    if (this.nameOf(ref.sha256) !== ref.object)
      throw damaged(ref, "its name is not that of its contents");
    const sealed = await this.#blob.stream(this.#scope, objectKey(ref.object));
    if (sealed === undefined) throw damaged(ref, "it is missing");
    return this.open(ref.object, sealed);
  }
}

/** Where an object of this name lies. */
function objectKey(name: string): string {
  return `objects/${name.slice(0, 2)}/${name}`;
}

/** All bytes of a stream. */
export async function collectBytes(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/** A stream of one part. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function placeOf(blobId: string): {
  readonly kind: "backup object";
  readonly tenant: string;
  readonly blobId: string;
} {
  return { kind: "backup object", tenant: SYSTEM_TENANT, blobId };
}

/** Passes bytes on, the last of them only once length and hash are what they should be. */
async function* checked(
  source: AsyncIterable<Uint8Array>,
  { sha256, bytes }: ObjectRef,
  what: string,
): AsyncGenerator<Uint8Array> {
  const digest = createHash("sha256");
  let length = 0;
  let held: Uint8Array | undefined;
  for await (const part of source) {
    digest.update(part);
    length += part.byteLength;
    if (length > bytes) break;
    if (held !== undefined) yield held;
    held = part;
  }
  if (length !== bytes || digest.digest("hex") !== sha256)
    throw new CoreError("damaged", `${what}: its bytes are not those that were hashed`, {
      at: what,
    });
  if (held !== undefined) yield held;
}

function damaged({ object }: ObjectRef, reason: string, cause?: unknown): CoreError {
  const at = `backup object ${object}`;
  return new CoreError("damaged", `${at}: ${reason}`, { at, cause });
}
