import { hash } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";

import { KeySet } from "./key-set.ts";

/**
 * Counts equal findings of one report, so that a finding which a tool lists twice is kept twice: the
 * count is part of its key.
 */
export class Occurrences {
  readonly #seen = new KeySet();
  readonly #repeated = new Map<string, number>();

  /** How often the parts came before: `undefined` for the first time, then 2, 3, … */
  next(...parts: readonly unknown[]): number | undefined {
    const key = hash("sha256", canonicalJson(parts), "hex").slice(0, 16);
    if (this.#seen.add(key)) return undefined;
    const count = (this.#repeated.get(key) ?? 1) + 1;
    this.#repeated.set(key, count);
    return count;
  }
}
