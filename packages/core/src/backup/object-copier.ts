import { CoreError } from "../errors.ts";
import { sealedLength } from "../keys/sealed-stream.ts";
import type { ObjectRef } from "./backup-manifest.ts";
import type { BackupObjects } from "./backup-objects.ts";
import type { ObjectNames } from "./object-names.ts";

/** How a create knows that an object is there already. */
export type Presence =
  /** By reading it back: for a full backup, which trusts nothing. */
  | { readonly kind: "read" }
  /** By a list of all names and lengths, made under the lease. */
  | { readonly kind: "listed"; readonly stored: ObjectNames }
  /** What the parent has is there; for the rest the repository is asked. For rounds a few seconds apart. */
  | { readonly kind: "asked" };

/** What an ObjectCopier is made with. */
export interface ObjectCopierParts {
  readonly objects: BackupObjects;
  readonly presence: Presence;
  /** Called often; keeps the lease, and throws when the work is to end. */
  readonly onStep: () => Promise<void>;
}

/** ObjectCopier: writes what is not there yet, and counts what it wrote. */
export class ObjectCopier {
  readonly #parts: ObjectCopierParts;
  /** What this copier has written or found. */
  readonly #found = new Set<string>();
  /** Objects and plain bytes written. */
  readonly written: { objects: number; bytes: number } = { objects: 0, bytes: 0 };

  constructor(parts: ObjectCopierParts) {
    this.#parts = parts;
  }

  /** Whether an object need not be written. */
  async isThere(ref: ObjectRef, isOfParent: boolean = false): Promise<boolean> {
    if (this.#found.has(ref.object)) return true;
    const isThere = await this.#look(ref, isOfParent);
    if (isThere) this.#remember(ref);
    return isThere;
  }

  async #look(ref: ObjectRef, isOfParent: boolean): Promise<boolean> {
    const { objects, presence } = this.#parts;
    if (presence.kind === "asked") return isOfParent || (await objects.has(ref.object));
    if (presence.kind === "read") return this.#isWhole(ref);
    const stored = presence.stored.get(ref.object);
    if (stored === undefined) return false;
    // How long a compressed object should be is known only to whom compresses it again.
    return ref.codec !== "none" || stored === sealedLength(ref.bytes);
  }

  async #isWhole(ref: ObjectRef): Promise<boolean> {
    const { objects, onStep } = this.#parts;
    if (!(await objects.has(ref.object))) return false;
    try {
      for await (const _ of objects.stream(ref)) await onStep();
      return true;
    } catch (cause) {
      if (cause instanceof CoreError && cause.code === "damaged") return false;
      throw cause;
    }
  }

  /** Puts bytes that are held whole, compressed. */
  readonly putPacked = async (bytes: Uint8Array): Promise<ObjectRef> => this.#put(bytes, "zstd");

  /** Puts bytes that are held whole, as they are. */
  readonly putPlain = async (bytes: Uint8Array): Promise<ObjectRef> => this.#put(bytes, "none");

  async #put(bytes: Uint8Array, codec: ObjectRef["codec"]): Promise<ObjectRef> {
    const { objects, onStep } = this.#parts;
    const ref = objects.refOf(bytes, codec);
    await onStep();
    if (await this.isThere(ref)) return ref;
    await objects.put(bytes, codec);
    this.#count(ref);
    return ref;
  }

  /**
   * Puts a stream whose hash is known beforehand.
   *
   * @returns false when there was nothing to read.
   * @throws CoreError `damaged` when other bytes came.
   */
  async putStream(
    ref: ObjectRef,
    open: () => Promise<AsyncIterable<Uint8Array> | undefined>,
  ): Promise<boolean> {
    const { objects, onStep } = this.#parts;
    await onStep();
    if (await this.isThere(ref)) return true;
    const source = new LateSource(open, onStep);
    try {
      await objects.putStream(source.bytes(), ref);
    } catch (cause) {
      if (source.isAbsent) return false;
      throw cause;
    }
    this.#count(ref);
    return true;
  }

  #count(ref: ObjectRef): void {
    this.written.objects += 1;
    this.written.bytes += ref.bytes;
    this.#remember(ref);
  }

  #remember({ object }: ObjectRef): void {
    // Enough for equal parts of one tenant; more would only be asked for again.
    if (this.#found.size >= FOUND_MAX) this.#found.clear();
    this.#found.add(object);
  }
}

const FOUND_MAX = 100_000;

/** A stream that is opened when its first bytes are asked for: a store that refuses leaves nothing open. */
class LateSource {
  readonly #open: () => Promise<AsyncIterable<Uint8Array> | undefined>;
  readonly #onStep: () => Promise<void>;
  isAbsent = false;

  constructor(
    open: () => Promise<AsyncIterable<Uint8Array> | undefined>,
    onStep: () => Promise<void>,
  ) {
    this.#open = open;
    this.#onStep = onStep;
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    const source = await this.#open();
    this.isAbsent = source === undefined;
    if (source === undefined) throw new CoreError("not-found", "there is nothing to back up");
    for await (const chunk of source) {
      await this.#onStep();
      yield chunk;
    }
  }
}
