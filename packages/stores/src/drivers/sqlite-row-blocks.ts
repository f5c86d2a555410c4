import type { DatabaseSync, SQLOutputValue } from "node:sqlite";

import { selectArrays } from "./sqlite-arrays.ts";
import type { ArraySelect } from "./sqlite-arrays.ts";

/** A table whose rows have whole numbers, read in their order. */
export interface StoredRows {
  /** What follows FROM, joins included. */
  readonly from: string;
  /** The row's number. */
  readonly number: string;
  /** The journal sequence of a row. */
  readonly sequence: string;
  /** Further stored columns. Doubles are read as text, which SQLite writes with all 17 digits they need. */
  readonly cells: readonly string[];
  /** A column that holds most of the bytes. */
  readonly body?: string;
}

/** Neighbouring rows as they are stored. */
export interface RowBlock {
  /** Row numbers from the first up to, without, the last. */
  readonly from: bigint;
  readonly to: bigint;
  /** How many rows have which sequence. */
  readonly sequences: readonly { readonly sequence: number; readonly rows: number }[];
  /** Numbers, types, lengths and cells of all rows. */
  readonly bytes: readonly Uint8Array[];
}

/** Numbers of a block: few enough for a changed row to lead to few others, many enough to pay for the call. */
const NUMBERS_A_BLOCK = 32n;
// SQLite's numbers have 64 bits with a sign; ours begin with 1.
const LEAST_NUMBER = -(2n ** 63n);
// More of one row cannot be kept apart, as it is read whole.
const BLOCK_BYTES_MAX = 8 * 1024 * 1024;
// Rows of far apart entries would bring many buckets into doubt for one change.
const SEQUENCES_APART_MAX = 256n;

/** RowBlocks: the rows of a table in blocks of neighbours, whose bounds depend on the rows' numbers alone. */
export class RowBlocks {
  readonly #first: ArraySelect;
  readonly #facts: ArraySelect;
  readonly #sequences: ArraySelect;
  readonly #bytes: ArraySelect;
  /** Blocks to be read next, the last first. */
  readonly #open: (readonly [bigint, bigint])[] = [];
  #after = LEAST_NUMBER;

  constructor(reader: DatabaseSync, { from, number, sequence, cells, body }: StoredRows) {
    const within = `FROM ${from} WHERE ${number} >= ? AND ${number} < ?`;
    const columns = body === undefined ? cells : [...cells, body];
    const length = (cell: string): string => `ifnull(octet_length(${cell}), 0)`;
    const heads = columns.map((cell) => `, ' ', typeof(${cell}), octet_length(${cell})`).join("");
    const row = `concat(${number}, ' ', ${sequence}${heads}${cells.map((cell) => `, ' ', ${cell}`).join("")})`;
    const bodies = body === undefined ? "" : `, CAST(group_concat(${body}, '') AS BLOB)`;
    this.#first = selectArrays(reader, `SELECT min(${number}) FROM ${from} WHERE ${number} > ?`);
    this.#facts = selectArrays(
      reader,
      `SELECT count(*), min(${sequence}), max(${sequence}), sum(${columns.map(length).join(" + ")}) ${within}`,
    );
    this.#sequences = selectArrays(reader, `SELECT ${sequence}, count(*) ${within} GROUP BY 1`);
    this.#bytes = selectArrays(
      reader,
      `SELECT CAST(group_concat(${row}, ';') AS BLOB)${bodies} ${within}`,
    );
  }

  /** The next block; `undefined` after the last. */
  next(): RowBlock | undefined {
    for (;;) {
      const range = this.#open.pop() ?? this.#following();
      if (range === undefined) return undefined;
      const [from, to] = range;
      const [rows, least, greatest, bytes] = this.#facts.get(from, to) ?? [];
      if (typeof least !== "bigint" || typeof greatest !== "bigint") continue;
      const isWide = greatest - least > SEQUENCES_APART_MAX;
      if (to - from > 1n && (isWide || Number(bytes) > BLOCK_BYTES_MAX)) {
        const middle = (from + to) / 2n;
        this.#open.push([middle, to], [from, middle]);
        continue;
      }
      const sequences =
        least === greatest
          ? [{ sequence: Number(least), rows: Number(rows) }]
          : this.#sequences.all(from, to).map(sequenceOf);
      return { from, to, sequences, bytes: (this.#bytes.get(from, to) ?? []).filter(isBytes) };
    }
  }

  /** The block of the first row that was not read yet. */
  #following(): readonly [bigint, bigint] | undefined {
    const [first] = this.#first.get(this.#after) ?? [];
    if (typeof first !== "bigint") return undefined;
    const from = first - (((first % NUMBERS_A_BLOCK) + NUMBERS_A_BLOCK) % NUMBERS_A_BLOCK);
    this.#after = from + NUMBERS_A_BLOCK - 1n;
    return [from, from + NUMBERS_A_BLOCK];
  }
}

function sequenceOf([sequence, rows]: readonly SQLOutputValue[]): RowBlock["sequences"][number] {
  return { sequence: Number(sequence), rows: Number(rows) };
}

function isBytes(cell: SQLOutputValue): cell is Uint8Array<ArrayBuffer> {
  return cell instanceof Uint8Array;
}
