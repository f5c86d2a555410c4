import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";

import type { Collection } from "../projected-store.ts";
import { onlyPlacement } from "../collections.ts";
import { StoreError } from "../errors.ts";

/** A collection that a projection's file holds. */
export interface HeldCollection {
  readonly name: string;
  readonly generation: number;
  /** The one type whose records it holds. */
  readonly type: string;
  /** JSON text of the placement it was prepared with. */
  readonly placement: string;
  /** What its tables' names begin with: lower case, digits and `_`, unlike any other's. */
  readonly physicalName: string;
  readonly checkpoint: number;
  /** Records deleted since the file was last purged of their words. */
  readonly removals: number;
}

/** Which collections a projection's SQLite file holds, and how far each has read. */
export class SqliteCollections {
  readonly #select: StatementSync;
  readonly #all: StatementSync;
  readonly #insert: StatementSync;
  readonly #names: StatementSync;
  readonly #checkpoint: StatementSync;
  readonly #purged: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    database.exec(`CREATE TABLE IF NOT EXISTS _collections
      (name TEXT NOT NULL, generation INTEGER NOT NULL, type TEXT NOT NULL, placement TEXT NOT NULL,
       physical_name TEXT NOT NULL UNIQUE, checkpoint INTEGER NOT NULL, removals INTEGER NOT NULL,
       PRIMARY KEY (name, generation)) STRICT`);
    this.#select = database.prepare("SELECT * FROM _collections WHERE name = ? AND generation = ?");
    this.#all = database.prepare("SELECT * FROM _collections ORDER BY name, generation");
    this.#names = database.prepare("SELECT 1 FROM _collections WHERE physical_name = ?");
    this.#insert = database.prepare("INSERT INTO _collections VALUES (?, ?, ?, ?, ?, 0, 0)");
    this.#checkpoint = database.prepare(`UPDATE _collections
      SET checkpoint = ?, removals = removals + ? WHERE name = ? AND generation = ?`);
    this.#purged = database.prepare(
      "UPDATE _collections SET removals = 0 WHERE name = ? AND generation = ?",
    );
    this.#delete = database.prepare("DELETE FROM _collections WHERE name = ? AND generation = ?");
  }

  find({ name, generation }: Collection<unknown>): HeldCollection | undefined {
    const row = this.#select.get(name, generation);
    return row === undefined ? undefined : held(row);
  }

  list(): readonly HeldCollection[] {
    return this.#all.all().map(held);
  }

  /** Notes a collection of one type. @throws StoreError `refused` when it is held with another mapping. */
  add(collection: Collection<unknown>): HeldCollection {
    const [type, placement] = onlyPlacement(collection);
    const text = JSON.stringify(placement);
    const known = this.find(collection);
    if (known === undefined) {
      const { name, generation } = collection;
      const physicalName = this.#freeName(`${name}__g${generation}`);
      this.#insert.run(name, generation, type, text, physicalName);
      const added = { name, generation, type, placement: text, physicalName };
      return { ...added, checkpoint: 0, removals: 0 };
    }
    if (known.placement === text && known.type === type) return known;
    throw new StoreError(
      "refused",
      `${collection.name} is held with another mapping in generation ${collection.generation}; use a new generation`,
    );
  }

  /** Writes how far a collection has read, and how many of its records were deleted on the way. */
  advance(collection: Collection<unknown>, checkpoint: number, removals: number): void {
    this.#checkpoint.run(checkpoint, removals, collection.name, collection.generation);
  }

  /** Notes that nothing of deleted records is left. */
  purged(collection: { readonly name: string; readonly generation: number }): void {
    this.#purged.run(collection.name, collection.generation);
  }

  remove({ name, generation }: Collection<unknown>): void {
    this.#delete.run(name, generation);
  }

  #freeName(wanted: string): string {
    const plain = wanted.replace("/", "__").replaceAll(/[^a-z0-9_]/g, "_");
    let name = plain;
    for (let count = 2; this.#names.get(name) !== undefined; count += 1)
      name = `${plain}_n${count}`;
    return name;
  }
}

function held(row: Record<string, SQLOutputValue>): HeldCollection {
  return {
    name: textOf(row["name"]),
    generation: numberOf(row["generation"]),
    type: textOf(row["type"]),
    placement: textOf(row["placement"]),
    physicalName: textOf(row["physical_name"]),
    checkpoint: numberOf(row["checkpoint"]),
    removals: numberOf(row["removals"]),
  };
}

/** A column declared NOT NULL TEXT. @throws StoreError `corrupt` when it holds something else. */
export function textOf(value: SQLOutputValue | undefined): string {
  if (typeof value === "string") return value;
  throw new StoreError("corrupt", `a text column holds ${typeof value}`);
}

/** A column declared NOT NULL INTEGER or REAL. @throws StoreError `corrupt` when it holds something else. */
export function numberOf(value: SQLOutputValue | undefined): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  throw new StoreError("corrupt", `a number column holds ${typeof value}`);
}
