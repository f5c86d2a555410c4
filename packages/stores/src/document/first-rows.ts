import { compareKeys } from "./sort-key.ts";
import type { Position } from "./cursor.ts";
import type { DocumentQuery } from "./port.ts";

/** The first rows of an order, of any number that are added; memory is bounded by what is wanted. */
export class FirstRows {
  readonly #wanted: number;
  readonly #sort: NonNullable<DocumentQuery["sort"]>;
  readonly #after: Position | undefined;
  #rows: Position[] = [];

  /** @param after a position that is not wanted, nor what lies before it. */
  constructor(wanted: number, sort: NonNullable<DocumentQuery["sort"]>, after?: Position) {
    this.#wanted = wanted;
    this.#sort = sort;
    this.#after = after;
  }

  add(row: Position): void {
    if (this.#after !== undefined && this.#compare(row, this.#after) <= 0) return;
    this.#rows.push(row);
    if (this.#rows.length >= 2 * this.#wanted) this.#cut();
  }

  /** In order. */
  rows(): readonly Position[] {
    this.#cut();
    return this.#rows;
  }

  #cut(): void {
    this.#rows.sort((left, right) => this.#compare(left, right));
    this.#rows = this.#rows.slice(0, this.#wanted);
  }

  #compare(left: Position, right: Position): number {
    for (const [index, { direction }] of this.#sort.entries()) {
      const order = compareKeys(String(left.keys[index]), String(right.keys[index]));
      if (order !== 0) return direction === "desc" ? -order : order;
    }
    return compareKeys(left.id, right.id);
  }
}
