import { hash } from "node:crypto";

import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { Projection } from "../../projection/projections.ts";
import type { Quarantined } from "./expected-sums.ts";

// Listed at most; a store that refuses more than that has another trouble.
const ROWS_MAX = 100_000;

/** The records that a projection refused: they are not missed in its store. */
export async function readQuarantined(
  journal: JournalStore,
  scope: Scope,
  { role, name }: Projection,
): Promise<Quarantined> {
  const rows = await journal.quarantine(scope, { role, collection: name, limit: ROWS_MAX });
  const versions = new Map(rows.map(({ type, id, sequence }) => [`${type}\0${id}`, sequence]));
  const listed = JSON.stringify([...versions].sort(([left], [right]) => (left < right ? -1 : 1)));
  return { versions, key: versions.size === 0 ? "" : hash("sha256", listed, "hex") };
}
