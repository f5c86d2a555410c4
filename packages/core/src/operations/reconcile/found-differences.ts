import type { RowDigest } from "@custody/stores/projected-store";

import type { Difference } from "../../reports.ts";

/** Differences that are told one by one at most: a store with more is built anew, not mended row by row. */
const DIFFERENCES_MAX = 100_000;

/** FoundDifferences: what a comparison finds, each record once, never more than can be held. */
export class FoundDifferences {
  readonly #byId = new Map<string, Difference>();
  readonly #max: number;
  /** True when there are more than are held. */
  isCut = false;

  constructor(max: number = DIFFERENCES_MAX) {
    this.#max = max;
  }

  /** A row with another sequence is extra in one bucket and missing in another: it is one stale row. */
  add(difference: Difference): void {
    const known = this.#byId.get(difference.id);
    if (known !== undefined) this.#byId.set(difference.id, { ...known, kind: "stale" });
    else if (this.#byId.size >= this.#max) this.isCut = true;
    else this.#byId.set(difference.id, difference);
  }

  get size(): number {
    return this.#byId.size;
  }

  list(): readonly Difference[] {
    return [...this.#byId.values()];
  }
}

/** How a stored row differs from the one that should be there; `undefined` where it does not. */
export function compareRows(wanted: RowDigest | undefined, row: RowDigest): Difference | undefined {
  const { id, sequence } = row;
  if (wanted === undefined) return { kind: "extra", id, sequence };
  if (wanted.sequence !== sequence) return { kind: "stale", id, sequence };
  return wanted.hash === row.hash ? undefined : { kind: "altered", id, sequence };
}
