import type {
  QuarantineKey,
  QuarantineRow,
  QuarantineVersion,
  SegmentIntent,
  TakenIntent,
} from "./journal.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";

// What stands for the end of a lease once the intent is taken.
const TAKEN = 0;

/** Registers a segment about to be written; again extends its lease, unless it was taken. */
export function writeIntent(
  connection: JournalConnection,
  tenantNo: number,
  { segmentId, blobKey, expiresAt }: SegmentIntent,
): void {
  connection
    .statement(
      `INSERT INTO intent VALUES (?, ?, ?, ?) ON CONFLICT (tenant_no, segment_id)
       DO UPDATE SET blob_key = excluded.blob_key, expires_at = excluded.expires_at
       WHERE intent.expires_at <> ${TAKEN}`,
    )
    .run(tenantNo, segmentId, blobKey, expiresAt);
}

/** Extends leases; false, with nothing extended, when one is gone or taken. */
export function renewLeases(
  connection: JournalConnection,
  tenantNo: number,
  lease: { readonly segmentIds: readonly string[]; readonly expiresAt: number },
): boolean {
  const find = connection.statement(
    `SELECT 1 FROM intent WHERE tenant_no = ? AND segment_id = ? AND expires_at <> ${TAKEN}`,
  );
  if (lease.segmentIds.some((segmentId) => find.get(tenantNo, segmentId) === undefined)) {
    return false;
  }
  const extend = connection.statement(
    "UPDATE intent SET expires_at = ? WHERE tenant_no = ? AND segment_id = ?",
  );
  for (const segmentId of lease.segmentIds) extend.run(lease.expiresAt, tenantNo, segmentId);
  return true;
}

/** Takes intents that expired before `now`, and answers all that are taken. */
export function takeExpired(
  connection: JournalConnection,
  tenantNo: number,
  { now, limit }: { readonly now: number; readonly limit: number },
): readonly TakenIntent[] {
  const expired = connection
    .statement(
      `SELECT segment_id, blob_key FROM intent WHERE tenant_no = ? AND expires_at < ?
       ORDER BY expires_at, segment_id LIMIT ?`,
    )
    .all(tenantNo, now, limit)
    .map((row) => ({
      segmentId: String(row["segment_id"]),
      blobKey: String(row["blob_key"]),
    }));
  takeIntents(
    connection,
    tenantNo,
    expired.map(({ segmentId }) => segmentId),
  );
  return expired;
}

/** Takes intents whatever their lease. */
export function takeIntents(
  connection: JournalConnection,
  tenantNo: number,
  segmentIds: readonly string[],
): void {
  const take = connection.statement(
    `UPDATE intent SET expires_at = ${TAKEN} WHERE tenant_no = ? AND segment_id = ?`,
  );
  for (const segmentId of segmentIds) take.run(tenantNo, segmentId);
}

/** Uses an intent up; false when it is gone or taken. */
export function useIntent(
  connection: JournalConnection,
  tenantNo: number,
  segmentId: string,
): boolean {
  const { changes } = connection
    .statement(
      `DELETE FROM intent WHERE tenant_no = ? AND segment_id = ? AND expires_at <> ${TAKEN}`,
    )
    .run(tenantNo, segmentId);
  return Number(changes) > 0;
}

/** Makes a segment that leaves the catalogue a taken intent, so that its file is removed in any case. */
export function intendRemoval(
  connection: JournalConnection,
  tenantNo: number,
  segmentId: string,
): void {
  connection
    .statement(
      `INSERT OR REPLACE INTO intent
       SELECT tenant_no, segment_id, blob_key, ${TAKEN} FROM segment WHERE tenant_no = ? AND segment_id = ?`,
    )
    .run(tenantNo, segmentId);
}

/** Removes intents; one that is gone is no error. */
export function removeIntents(
  connection: JournalConnection,
  tenantNo: number,
  segmentIds: readonly string[],
): void {
  const remove = connection.statement("DELETE FROM intent WHERE tenant_no = ? AND segment_id = ?");
  for (const segmentId of segmentIds) remove.run(tenantNo, segmentId);
}

/** A receipt by its key. */
export function readReceipt(
  connection: JournalConnection,
  tenantNo: number,
  { kind, key }: { readonly kind: string; readonly key: string },
): string | undefined {
  const row = connection
    .statement("SELECT receipt FROM receipt WHERE tenant_no = ? AND kind = ? AND key = ?")
    .get(tenantNo, kind, key);
  return row === undefined ? undefined : String(row["receipt"]);
}

/** A named value. */
export function readState(
  connection: JournalConnection,
  tenantNo: number,
  name: string,
): string | undefined {
  const row = connection
    .statement("SELECT value FROM state WHERE tenant_no = ? AND name = ?")
    .get(tenantNo, name);
  return row === undefined ? undefined : String(row["value"]);
}

/** Sets a named value, or removes it. */
export function writeState(
  connection: JournalConnection,
  tenantNo: number,
  { name, value }: { readonly name: string; readonly value: string | undefined },
): void {
  if (value === undefined) {
    connection.statement("DELETE FROM state WHERE tenant_no = ? AND name = ?").run(tenantNo, name);
  } else {
    connection
      .statement("INSERT OR REPLACE INTO state VALUES (?, ?, ?)")
      .run(tenantNo, name, value);
  }
}

/** Named values whose names begin with a prefix, by name. */
export function readStates(
  connection: JournalConnection,
  tenantNo: number,
  prefix: string,
): readonly { readonly name: string; readonly value: string }[] {
  return connection
    .statement(
      `SELECT name, value FROM state WHERE tenant_no = ?1 AND name >= ?2
       AND substr(name, 1, length(?2)) = ?2 ORDER BY name`,
    )
    .all(tenantNo, prefix)
    .map((row) => ({ name: String(row["name"]), value: String(row["value"]) }));
}

/** Notes refused records; one that is noted already is replaced, unless a later version is known of. */
export function writeQuarantine(
  connection: JournalConnection,
  tenantNo: number,
  rows: readonly QuarantineRow[],
): void {
  const insert = connection.statement(
    `INSERT INTO quarantine (tenant_no, role, collection, type, id, sequence, since, reason, at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (tenant_no, role, collection, type, id) DO UPDATE
     SET sequence = excluded.sequence, since = excluded.since, passed_by = NULL,
         reason = excluded.reason, at = excluded.at
     WHERE max(sequence, coalesce(passed_by, 0)) <= excluded.sequence`,
  );
  for (const { role, collection, type, id, sequence, since, reason, at } of rows) {
    insert.run(tenantNo, role, collection, type, id, sequence, since, reason, at);
  }
}

/** Noted records in the order of role, collection, type and id. */
export function readQuarantine(
  connection: JournalConnection,
  tenantNo: number,
  query: {
    readonly role?: string;
    readonly collection?: string;
    readonly withPassed?: boolean;
    readonly limit: number;
    readonly after?: QuarantineKey;
  },
): readonly QuarantineRow[] {
  const { role = null, collection = null, withPassed = false, after } = query;
  return connection
    .statement(
      `SELECT * FROM quarantine WHERE tenant_no = ? AND (role, collection, type, id) > (?, ?, ?, ?)
       AND (?6 IS NULL OR role = ?6) AND (?7 IS NULL OR collection = ?7)
       AND (?9 = 1 OR passed_by IS NULL)
       ORDER BY role, collection, type, id LIMIT ?8`,
    )
    .all(
      tenantNo,
      after?.role ?? "",
      after?.collection ?? "",
      after?.type ?? "",
      after?.id ?? "",
      role,
      collection,
      query.limit,
      withPassed ? 1 : 0,
    )
    .map((row) => ({
      role: String(row["role"]),
      collection: String(row["collection"]),
      type: String(row["type"]),
      id: String(row["id"]),
      sequence: Number(row["sequence"]),
      since: Number(row["since"]),
      ...(row["passed_by"] === null ? {} : { passedBy: Number(row["passed_by"]) }),
      reason: String(row["reason"]),
      at: Number(row["at"]),
    }));
}

/** Marks noted records as passed, except those noted in a later version. */
export function markPassed(
  connection: JournalConnection,
  tenantNo: number,
  rows: readonly (QuarantineVersion & { readonly passedBy: number })[],
): void {
  const mark = connection.statement(
    `UPDATE quarantine SET passed_by = ? WHERE tenant_no = ? AND role = ? AND collection = ? AND type = ?
     AND id = ? AND sequence <= ?`,
  );
  for (const { role, collection, type, id, sequence, passedBy } of rows) {
    mark.run(passedBy, tenantNo, role, collection, type, id, sequence);
  }
}

/** Forgets noted records, except those noted in a later version. */
export function removeQuarantine(
  connection: JournalConnection,
  tenantNo: number,
  rows: readonly QuarantineVersion[],
): void {
  const remove = connection.statement(
    `DELETE FROM quarantine WHERE tenant_no = ? AND role = ? AND collection = ? AND type = ? AND id = ?
     AND sequence <= ?`,
  );
  for (const { role, collection, type, id, sequence } of rows) {
    remove.run(tenantNo, role, collection, type, id, sequence);
  }
}
