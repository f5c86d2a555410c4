import { stringifyJson } from "@custody/contract/json";
import type { AnalyticsPlacement, Column } from "@custody/contract/placement";

import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import type { AnalyticsStore } from "./port.ts";

/** A row as a test writes it: its fields have the names of the columns. */
export type TestRow = Readonly<Record<string, unknown>> & { readonly observedAt?: number };

/** A collection whose columns are taken from fields of the same names. */
export function tableOf(
  name: string,
  columns: Readonly<Record<string, Column["type"]>>,
): Collection<AnalyticsPlacement> {
  const placement = Object.fromEntries(
    Object.entries(columns).map(([column, type]) => {
      const isList = type === "text[]" || type === "vector";
      const from = isList ? ({ path: `${column}[]`, take: "all" } as const) : column;
      return [column, { type, from }];
    }),
  );
  return { name, generation: 1, placements: { [name]: { columns: placement } } };
}

/** Prepares a collection and writes rows `row-0`, `row-1`, … in sequence 1. */
export async function writeRows(
  store: AnalyticsStore,
  scope: Scope,
  collection: Collection<AnalyticsPlacement>,
  rows: readonly TestRow[],
): Promise<void> {
  await store.prepare(scope, collection);
  const records = rows.map(({ observedAt, ...fields }, index) => ({
    id: `row-${index}`,
    sequence: 1,
    text: stringifyJson(fields),
    ...(observedAt === undefined ? {} : { observedAt }),
  }));
  const batch = makeBatch(collection.name, records);
  await store.apply(scope, collection, { batches: [batch], checkpoint: 1 });
}
