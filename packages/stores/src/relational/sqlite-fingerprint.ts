import { fingerprintSqlite } from "../drivers/sqlite-fingerprint.ts";
import type { BucketDigest, Collection } from "../projected-store.ts";
import type { TablePlacement } from "./port.ts";
import type { RelationalFile } from "./sqlite-file.ts";

/**
 * Sums over a table's or a summary's rows as they are stored. A summary's counted values are most of its
 * rows: its digest takes 3.5 µs for each, this 0.5 µs (bench/reconcile-run.ts).
 */
export async function fingerprintRelation(
  file: RelationalFile,
  collection: Collection<TablePlacement>,
  bucketSize: number,
): Promise<readonly BucketDigest[]> {
  const path = file.database.location();
  if (path === null || !file.isPrepared(collection)) return [];
  const rows = file.table(collection).stored();
  const request = { bucketSize, rows, values: [], others: [] };
  return await fingerprintSqlite(path, `fingerprint ${collection.name}`, request);
}
