import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite";

/** A prepared SELECT whose rows are arrays, without names. */
export interface ArraySelect {
  /** The first row; `undefined` where there is none. */
  get(...values: readonly SQLInputValue[]): readonly SQLOutputValue[] | undefined;
  all(...values: readonly SQLInputValue[]): readonly (readonly SQLOutputValue[])[];
  iterate(...values: readonly SQLInputValue[]): Iterator<readonly SQLOutputValue[], null>;
}

/** Prepares a SELECT whose rows are read as arrays, and its integers as `bigint`. */
export function selectArrays(database: DatabaseSync, sql: string): ArraySelect {
  const statement = database.prepare(sql);
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  // `setReturnArrays` changes what these answer; the types know objects alone.
  return statement as unknown as ArraySelect;
}
