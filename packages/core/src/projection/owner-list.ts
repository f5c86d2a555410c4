import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { BoundedMap } from "../journal/bounded-map.ts";
import { aeadOpen, aeadSeal, counterNonce, deriveKey, SALT_BYTES } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { Runtime } from "../runtime.ts";
import type { ProjectedRole } from "../stores.ts";

export interface OwnerListParts {
  readonly journal: JournalStore;
  readonly keys: Pick<KeyService, "hashKey">;
  readonly runtime: Pick<Runtime, "random">;
}

/** A build of a projection that is kept in a file per owner. */
export interface OwnedCollection {
  readonly role: ProjectedRole;
  readonly name: string;
  readonly generation: number;
}

/** The owners of one collection, as they are in memory. */
interface KnownOwners {
  readonly known: Set<string>;
  /** Names the values that are written for it: nobody else's, also none of an earlier list in memory. */
  readonly writer: string;
  /** Those that this process wrote down, in the order they came. */
  readonly own: string[];
  /** The last write: whoever relies on a name waits for it. */
  written: Promise<void>;
}

// Names of one stored value: a new owner rewrites at most so many.
const NAMES_PER_VALUE = 256;
// Enough for no two processes of an installation to have one name.
const WRITER_BYTES = 8;
// Lists kept in memory; one of 10,000 owners takes about 1 MB, and few have so many.
const LISTS_MAX = 256;

/**
 * OwnerList: whose files a collection is kept in.
 *
 * Kept in the journal store's small named values, sealed: neither a file's name nor a table tells who
 * the owners are. Names are written before the first row, so no file is ever forgotten. Each process
 * writes values of its own, so that none overwrites what another has added; the list is all of them.
 */
export class OwnerList {
  readonly #parts: OwnerListParts;
  readonly #lists = new BoundedMap<string, Promise<KnownOwners>>(LISTS_MAX);

  constructor(parts: OwnerListParts) {
    this.#parts = parts;
  }

  /** The owners of a collection, each once; those that other processes have added since as well. */
  async names(scope: Scope, collection: OwnedCollection): Promise<readonly string[]> {
    return [...(await this.#read(scope, collection))];
  }

  async has(scope: Scope, collection: OwnedCollection, owner: string): Promise<boolean> {
    const { known } = await this.#list(scope, collection);
    if (known.has(owner)) return true;
    for (const name of await this.#read(scope, collection)) known.add(name);
    return known.has(owner);
  }

  /** Writes an owner down; resolves when it is durable. Again changes nothing. */
  async add(scope: Scope, collection: OwnedCollection, owner: string): Promise<void> {
    const list = await this.#list(scope, collection);
    if (!list.known.has(owner)) {
      list.own.push(owner);
      list.known.add(owner);
      const number = Math.floor((list.own.length - 1) / NAMES_PER_VALUE);
      const names = list.own.slice(number * NAMES_PER_VALUE);
      const value = `${prefixOf(collection)}${list.writer}/${String(number).padStart(8, "0")}`;
      list.written = list.written.then(() => this.#write(scope, value, names));
    }
    try {
      await list.written;
    } catch (cause) {
      this.#lists.delete(listKey(scope, collection));
      throw cause;
    }
  }

  /** Forgets a collection's owners, after their rows are gone. */
  async drop(scope: Scope, collection: OwnedCollection): Promise<void> {
    const { journal } = this.#parts;
    this.#lists.delete(listKey(scope, collection));
    for (const { name } of await journal.listState(scope, prefixOf(collection))) {
      await journal.putState(scope, name, undefined);
    }
  }

  /** Every owner of any collection of a role. */
  async inRole(scope: Scope, role: ProjectedRole): Promise<readonly string[]> {
    const stored = await this.#parts.journal.listState(scope, `owners/${role}/`);
    const names = new Set<string>();
    for (const { name, value } of stored) {
      for (const owner of await this.#open(scope, name, value)) names.add(owner);
    }
    return [...names];
  }

  #list(scope: Scope, collection: OwnedCollection): Promise<KnownOwners> {
    const key = listKey(scope, collection);
    return this.#lists.getOrMake(key, async () => {
      const known = await this.#read(scope, collection);
      const writer = Buffer.from(this.#parts.runtime.random(WRITER_BYTES)).toString("hex");
      return { known, writer, own: [], written: Promise.resolve() };
    });
  }

  async #read(scope: Scope, collection: OwnedCollection): Promise<Set<string>> {
    const names = new Set<string>();
    for (const { name, value } of await this.#parts.journal.listState(scope, prefixOf(collection)))
      for (const owner of await this.#open(scope, name, value)) names.add(owner);
    return names;
  }

  async #write(scope: Scope, name: string, names: readonly string[]): Promise<void> {
    await this.#parts.journal.putState(scope, name, await this.#seal(scope, name, names));
  }

  async #seal(scope: Scope, name: string, names: readonly string[]): Promise<string> {
    const salt = this.#parts.runtime.random(SALT_BYTES);
    const input = await this.#input(scope, name, salt);
    const sealed = aeadSeal(input, Buffer.from(JSON.stringify(names)));
    return Buffer.concat([salt, sealed]).toString("base64");
  }

  async #open(scope: Scope, name: string, value: string): Promise<readonly string[]> {
    const bytes = Buffer.from(value, "base64");
    const input = await this.#input(scope, name, bytes.subarray(0, SALT_BYTES));
    const opened = aeadOpen(input, bytes.subarray(SALT_BYTES));
    if (opened !== undefined) return JSON.parse(opened.toString("utf8")) as readonly string[];
    throw new CoreError("damaged", `the list of owners ${name} of ${scope.tenant} does not open`, {
      at: name,
    });
  }

  /** Each value has a salt, hence a key, of its own: the counter needs to count to nothing but zero. */
  async #input(
    scope: Scope,
    name: string,
    salt: Uint8Array,
  ): Promise<Parameters<typeof aeadSeal>[0]> {
    const hashKey = await this.#parts.keys.hashKey(scope.tenant);
    return {
      key: deriveKey(hashKey, salt, associatedData("custody owner list v1")),
      nonce: counterNonce(0),
      associated: associatedData(scope.tenant, name),
    };
  }
}

function prefixOf({ role, name, generation }: OwnedCollection): string {
  return `owners/${role}/${name}/${generation}/`;
}

function listKey(scope: Scope, collection: OwnedCollection): string {
  return `${scope.tenant}/${prefixOf(collection)}`;
}
