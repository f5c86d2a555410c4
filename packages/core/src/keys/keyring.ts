import { join } from "node:path";

import { CoreError } from "../errors.ts";
import { KEY_BYTES, NONCE_BYTES } from "../journal/format/aead.ts";
import { createDurably, inTurns, overwriteInPlace, readIfPresent } from "./durable-file.ts";
import { isDestroyedText } from "./key-pack.ts";
import { destroyedText, parseWrapped, unwrapKey, wrapKey } from "./wrapped-key.ts";
import type { WrappingKey } from "./wrapped-key.ts";

/** A key as the keyring answers it; `undefined` where it was never made. */
export type RingKey = Uint8Array | "destroyed" | undefined;

/** What a keyring needs. */
export interface KeyringOptions {
  readonly directory: string;
  readonly wrapping: WrappingKey;
  readonly random: (length: number) => Uint8Array;
  readonly cachedKeysMax: number;
}

/** Wrapped keys in a directory, one small file each, with the last used ones in memory. */
export class Keyring {
  readonly #options: KeyringOptions;
  /** Oldest use first. */
  readonly #cache = new Map<string, Uint8Array | "destroyed">();
  readonly #wanted = new Set<string>();
  /** The tail of the queue of writers; making and destroying go one after the other. */
  #turn: Promise<void> = Promise.resolve();
  /** Tells unfinished files of this process from those of another. */
  readonly #suffix: string;

  constructor(options: KeyringOptions) {
    this.#options = options;
    this.#suffix = Buffer.from(options.random(8)).toString("hex");
  }

  /** Marks the directory as belonging to the wrapping key. @throws CoreError `no-key` when it is another's. */
  async claim(): Promise<void> {
    await claimKeyring(this.#options.directory, this.#options.wrapping.id, this.#suffix);
  }

  async #put(path: string, text: string): Promise<string | undefined> {
    await createDurably([{ path, text }], this.#suffix);
    return await readIfPresent(path);
  }

  /** The keys of these names, in their order; new ones are durable before they are answered. */
  async keys(names: readonly string[], isCreating: boolean): Promise<readonly RingKey[]> {
    const found = await this.#find(names);
    const missing = names.filter((name) => !found.has(name));
    if (isCreating && missing.length > 0) {
      await this.#make(missing);
      for (const [name, key] of await this.#find(missing)) found.set(name, key);
      if (missing.some((name) => !found.has(name)))
        throw new CoreError("failed", "a key was made and is not there; was its file removed?");
    }
    return names.map((name) => found.get(name));
  }

  /** Overwrites a key where it lies; what remains says that there was one. */
  async destroy(name: string): Promise<void> {
    await this.#inTurn(async () => {
      const path = this.#path(name);
      const text = (await readIfPresent(path)) ?? (await this.#put(path, destroyedText()));
      if (text !== undefined && !isDestroyedText(name, text))
        await overwriteInPlace(path, destroyedText(Buffer.byteLength(text)));
      this.#remember(name, "destroyed");
    });
  }

  /** Drops every key from memory. */
  forget(): void {
    this.#cache.clear();
  }

  async #find(names: readonly string[]): Promise<Map<string, Uint8Array | "destroyed">> {
    const found = new Map<string, Uint8Array | "destroyed">();
    const unknown = new Set<string>();
    for (const name of names) {
      const key = this.#cache.get(name);
      if (key === undefined) unknown.add(name);
      else this.#remember(name, key);
      if (key !== undefined) found.set(name, key);
    }
    await inTurns([...unknown], async (name) => {
      const text = await readIfPresent(this.#path(name));
      if (text === undefined) return;
      const key = this.#open(name, text);
      found.set(name, key);
      this.#remember(name, key);
    });
    return found;
  }

  /** Makes keys. Who asks while others are being written shares the next write with all who wait. */
  async #make(names: readonly string[]): Promise<void> {
    for (const name of names) this.#wanted.add(name);
    await this.#inTurn(async () => {
      const wanted = [...this.#wanted];
      this.#wanted.clear();
      await this.#write(wanted);
    });
  }

  async #write(names: readonly string[]): Promise<void> {
    const { wrapping, random } = this.#options;
    const byDirectory = Map.groupBy(names, (name) => name.slice(0, name.lastIndexOf("/")));
    for (const group of byDirectory.values()) {
      const made = group.map((name) => {
        const key = Uint8Array.from(random(KEY_BYTES));
        const text = wrapKey(wrapping, name, key, random(NONCE_BYTES));
        return { name, key, path: this.#path(name), text };
      });
      const existing = new Set(await createDurably(made, this.#suffix));
      for (const { name, key, path } of made) if (!existing.has(path)) this.#remember(name, key);
    }
  }

  #open(name: string, text: string): Uint8Array | "destroyed" {
    const wrapped = parseWrapped(name, text);
    return wrapped.kind === "destroyed"
      ? "destroyed"
      : unwrapKey(this.#options.wrapping, name, wrapped);
  }

  #path(name: string): string {
    return `${join(this.#options.directory, name)}.json`;
  }

  #remember(name: string, key: Uint8Array | "destroyed"): void {
    this.#cache.delete(name);
    this.#cache.set(name, key);
    if (this.#cache.size <= this.#options.cachedKeysMax) return;
    const [oldest] = this.#cache.keys();
    if (oldest !== undefined) this.#cache.delete(oldest);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    await turn;
  }
}

/**
 * Marks a directory of keys as belonging to a root key.
 *
 * @param suffix tells unfinished files of this process from those of another.
 * @throws CoreError `no-key` when it is another's.
 */
export async function claimKeyring(
  directory: string,
  rootKeyId: string,
  suffix: string,
): Promise<void> {
  const path = join(directory, "keyring.json");
  const text = `${JSON.stringify({ version: 1, under: rootKeyId })}\n`;
  await createDurably([{ path, text }], suffix);
  if ((await readIfPresent(path)) === text) return;
  throw new CoreError(
    "no-key",
    `the keys in ${directory} were not made under root key ${rootKeyId}; ${path} names the right one`,
  );
}
