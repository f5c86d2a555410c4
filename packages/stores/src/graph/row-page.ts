import type { Page, RowDigest } from "../projected-store.ts";

/** Keeps the first rows after a cursor, by id, out of rows that come in any order. */
export class RowPage {
  readonly #limit: number;
  readonly #after: string;
  #rows: RowDigest[] = [];
  #last: string | undefined;

  constructor(limit: number, after = "") {
    this.#limit = limit;
    this.#after = after;
  }

  /** Whether a row with this id could be on the page. */
  wants(id: string): boolean {
    return id > this.#after && (this.#last === undefined || id < this.#last);
  }

  add(row: RowDigest): void {
    this.#rows.push(row);
    if (this.#rows.length > 2 * this.#limit + 1_000) this.#shrink();
  }

  /** True when the page and one row after it are had. */
  get isFull(): boolean {
    return this.#rows.length > this.#limit;
  }

  /** The page; its cursor is the id of its last row. */
  page(): Page<RowDigest> {
    this.#shrink();
    const rows = this.#rows.slice(0, this.#limit);
    const last = rows.at(-1);
    return this.isFull && last !== undefined ? { rows, cursor: last.id } : { rows };
  }

  #shrink(): void {
    this.#rows.sort((left, right) => (left.id < right.id ? -1 : 1));
    this.#rows = this.#rows.slice(0, this.#limit + 1);
    if (this.isFull) this.#last = this.#rows.at(-1)?.id;
  }
}
