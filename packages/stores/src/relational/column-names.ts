import { StoreError } from "../errors.ts";

/**
 * Refuses names that differ only in the case of ASCII letters: SQLite takes them for one, and so do
 * people who leave out the quotes in PostgreSQL.
 *
 * @throws StoreError `refused` naming the name that is taken.
 */
export function checkNames(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    const folded = name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
    if (name === "" || seen.has(folded)) {
      throw new StoreError("refused", `${JSON.stringify(name)} cannot be another column's name`);
    }
    seen.add(folded);
  }
}
