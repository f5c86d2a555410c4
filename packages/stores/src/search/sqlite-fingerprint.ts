import type { SearchPlacement } from "@custody/contract/placement";

import { fingerprintSqlite } from "../drivers/sqlite-fingerprint.ts";
import { quoteName } from "../drivers/sqlite-fragment.ts";
import type { BucketDigest, Collection } from "../projected-store.ts";
import { filterColumn } from "./sqlite-filter.ts";
import type { SearchFile } from "./sqlite-file.ts";

/**
 * Sums over a search collection's rows, over what the index counts of each, and over the index's own
 * blocks. With those unchanged the index need not be checked through again, which is most of what a digest
 * of 50 µs a record takes; this takes 4 µs (bench/reconcile-run.ts).
 */
export async function fingerprintFile(
  file: SearchFile,
  collection: Collection<SearchPlacement>,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  const path = file.database.location();
  if (path === null || !file.isPrepared(collection)) return [];
  const { names, mapping } = file.table(collection);
  const filters = mapping.filterNames.map((_, position) => `r.${filterColumn(position)}`);
  const shadow = (name: string): string => quoteName(`${names.index}_${name}`);
  return await fingerprintSqlite(path, `fingerprint ${collection.name}`, {
    bucketSize,
    rows: [
      {
        from: `${quoteName(names.rows)} AS r LEFT JOIN ${quoteName(names.indexed)} AS d ON d.id = r.n`,
        number: "r.n",
        sequence: "r.sequence",
        cells: ["r.id", "r.texts", "d.sz", ...filters],
      },
    ],
    values: [{ table: quoteName(names.values), values: ["filter", "value"], number: "row" }],
    // FTS5's own tables (sqlite.org/fts5.html#fts5_data_structures).
    others: [
      `SELECT id, block FROM ${shadow("data")}`,
      `SELECT segid, term, pgno FROM ${shadow("idx")}`,
      `SELECT k, v FROM ${shadow("config")}`,
      `SELECT count(*) FROM ${quoteName(names.indexed)}`,
    ],
  });
}
