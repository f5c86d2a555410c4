import type { SearchPlacement } from "@custody/contract/placement";

import { fingerprintSqlite } from "../drivers/sqlite-fingerprint.ts";
import { quoteName } from "../drivers/sqlite-fragment.ts";
import type { BucketDigest, Collection } from "../projected-store.ts";
import { filterColumn } from "./sqlite-filter.ts";
import type { SearchFile } from "./sqlite-file.ts";

/**
 * Sums over a search collection's rows, over what the index counts of each, and over the index's own
 * blocks. With those unchanged the index need not be checked through again, which is most of what a digest
 * of 50 µs a record takes; this takes 10 µs (bench/reconcile-run.ts).
 */
export async function fingerprintFile(
  file: SearchFile,
  collection: Collection<SearchPlacement>,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  const path = file.database.location();
  if (path === null || !file.isPrepared(collection)) return [];
  const { names, mapping } = file.table(collection);
  const rows = quoteName(names.rows);
  const filters = mapping.filterNames.map((_, position) => `, r.${filterColumn(position)}`);
  const shadow = (name: string): string => quoteName(`${names.index}_${name}`);
  return await fingerprintSqlite(path, `fingerprint ${collection.name}`, {
    bucketSize,
    queries: (reader) => ({
      rows: `SELECT r.n, r.sequence, r.id, r.texts${filters.join("")}, d.sz FROM ${rows} AS r
        LEFT JOIN ${quoteName(names.indexed)} AS d ON d.id = r.n WHERE r.n > ? ORDER BY r.n LIMIT ?`,
      values: [
        {
          sql: `SELECT row, filter, value FROM ${quoteName(names.values)} ORDER BY filter, value, row`,
          last: Number(reader.prepare(`SELECT max(n) AS n FROM ${rows}`).get()?.["n"] ?? 0),
        },
      ],
      // FTS5's own tables (sqlite.org/fts5.html#fts5_data_structures).
      others: [
        `SELECT id, block FROM ${shadow("data")}`,
        `SELECT segid, term, pgno FROM ${shadow("idx")}`,
        `SELECT k, v FROM ${shadow("config")}`,
        `SELECT count(*) FROM ${quoteName(names.indexed)}`,
      ],
    }),
  });
}
