import { hash } from "node:crypto";
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";

import { selectArrays } from "./sqlite-arrays.ts";
import type { ArraySelect } from "./sqlite-arrays.ts";

/** A table of values and of the numbers of the rows that have them, which an index keeps beside the rows. */
export interface IndexedValues {
  /** Quoted. */
  readonly table: string;
  /** The columns before the number in the table's primary key, the value last. */
  readonly values: readonly [string, ...string[]];
  /** The column with the row's number. */
  readonly number: string;
}

// Pairs read before other calls of the thread get their turn: some 10 ms of work.
const PAIRS_A_TURN = 20_000;
/** Sums lie together by so many row numbers; rows are not always numbered without gaps. */
const NUMBERS_A_PAGE = 65_536;

/** ValueSums: for each row number the sum of its values' hashes. Four bytes a row are held. */
export class ValueSums {
  readonly #begin: ArraySelect;
  readonly #follow: ArraySelect;
  #after: readonly SQLInputValue[] | undefined;
  readonly #pages = new Map<number, Uint32Array>();

  constructor(reader: DatabaseSync, { table, values: [first, ...more], number }: IndexedValues) {
    const values = [first, ...more].join(", ");
    const places = [first, ...more].map(() => "?, ").join("");
    // Equal numbers of two types are one value to SQLite, but not the same bytes.
    const member = `concat(${number}, substr(typeof(${more.at(-1) ?? first}), 1, 1))`;
    const select = (where: string): string => `SELECT ${values}, max(${number}),
      CAST(group_concat(${member}, '') AS BLOB) FROM
      (SELECT ${values}, ${number} FROM ${table} ${where} ORDER BY ${values}, ${number} LIMIT ${PAIRS_A_TURN})
      GROUP BY ${values}`;
    this.#begin = selectArrays(reader, select(""));
    this.#follow = selectArrays(reader, select(`WHERE (${values}, ${number}) > (${places}?)`));
  }

  /** Reads some pairs; false after the last. */
  readTurn(): boolean {
    const groups = this.#after === undefined ? this.#begin.all() : this.#follow.all(...this.#after);
    for (const group of groups) this.#add(group);
    const last = groups.at(-1)?.slice(0, -1);
    this.#after = last;
    return last !== undefined;
  }

  /** The sums of some rows, those without a value among them. */
  between(from: bigint, to: bigint): Uint8Array {
    const sums = new Uint32Array(Number(to - from));
    for (const at of sums.keys()) sums[at] = this.#at(Number(from) + at);
    return new Uint8Array(sums.buffer);
  }

  #at(number: number): number {
    return this.#pages.get(Math.floor(number / NUMBERS_A_PAGE))?.[number % NUMBERS_A_PAGE] ?? 0;
  }

  #add(group: readonly SQLOutputValue[]): void {
    const members = group.at(-1);
    if (!(members instanceof Uint8Array)) return;
    const value = group.slice(0, -2).map(textOf).join("\0");
    const hashed = hash("sha256", value, "buffer").readUInt32BE();
    let number = 0;
    for (const byte of members) {
      if (byte >= DIGIT_0 && byte <= DIGIT_9) number = number * 10 + byte - DIGIT_0;
      else if (byte !== MINUS) {
        this.#put(number, hashed ^ byte);
        number = 0;
      }
    }
  }

  #put(number: number, hashed: number): void {
    const page = Math.floor(number / NUMBERS_A_PAGE);
    let sums = this.#pages.get(page);
    if (sums === undefined) this.#pages.set(page, (sums = new Uint32Array(NUMBERS_A_PAGE)));
    const place = number % NUMBERS_A_PAGE;
    sums[place] = ((sums[place] ?? 0) + hashed) >>> 0;
  }
}

const DIGIT_0 = 48;
const DIGIT_9 = 57;
const MINUS = 45;

function textOf(part: SQLOutputValue): string {
  return part instanceof Uint8Array ? Buffer.from(part).toString("hex") : String(part);
}
