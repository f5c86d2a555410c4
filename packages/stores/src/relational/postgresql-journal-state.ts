import { bigintArray, prepared, sql, storedText, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import type {
  QuarantineKey,
  QuarantineRow,
  QuarantineVersion,
  SegmentIntent,
  TakenIntent,
} from "./journal.ts";
import { textOf } from "./postgresql-journal-entries.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";

// What stands for the end of a lease once the intent is taken.
const TAKEN = 0;

/** Registers a segment about to be written; again extends its lease, unless it was taken. */
export function writeIntent(
  { table }: JournalDatabase,
  tenantNo: number,
  { segmentId, blobKey, expiresAt }: SegmentIntent,
): PgFragment {
  return prepared`INSERT INTO ${table("intent")} AS i (tenant_no, segment_id, blob_key, expires_at)
    VALUES (${tenantNo}, ${storedText(segmentId)}, ${storedText(blobKey)}, ${expiresAt})
    ON CONFLICT (tenant_no, segment_id)
    DO UPDATE SET blob_key = excluded.blob_key, expires_at = excluded.expires_at
    WHERE i.expires_at <> ${TAKEN}`;
}

/** Extends leases, of all or of none; the count tells which. */
export function renewLeases(
  { table }: JournalDatabase,
  tenantNo: number,
  lease: { readonly segmentIds: readonly string[]; readonly expiresAt: number },
): PgFragment {
  const ids = textArray(lease.segmentIds.map(storedText));
  return prepared`WITH held AS (SELECT segment_id FROM ${table("intent")}
      WHERE tenant_no = ${tenantNo} AND segment_id = ANY (${ids}) AND expires_at <> ${TAKEN} FOR UPDATE)
    UPDATE ${table("intent")} i SET expires_at = ${lease.expiresAt} FROM held
    WHERE i.tenant_no = ${tenantNo} AND i.segment_id = held.segment_id
      AND (SELECT count(*) FROM held) = ${lease.segmentIds.length}`;
}

/**
 * Takes intents that expired before `now`, and answers all that are taken; those that a commit is using
 * are passed by.
 */
export function takeExpired(
  { table }: JournalDatabase,
  tenantNo: number,
  { now, limit }: { readonly now: number; readonly limit: number },
): PgFragment {
  return prepared`WITH expired AS (SELECT segment_id, blob_key, expires_at FROM ${table("intent")}
      WHERE tenant_no = ${tenantNo} AND expires_at < ${now}
      ORDER BY expires_at, segment_id LIMIT ${limit} FOR UPDATE SKIP LOCKED),
    taken AS (UPDATE ${table("intent")} i SET expires_at = ${TAKEN} FROM expired
      WHERE i.tenant_no = ${tenantNo} AND i.segment_id = expired.segment_id)
    SELECT segment_id, blob_key FROM expired ORDER BY expires_at, segment_id`;
}

/** An intent in a row of {@link takeExpired}. */
export function intentOf(row: PgRow): TakenIntent {
  return { segmentId: textOf(row["segment_id"]), blobKey: textOf(row["blob_key"]) };
}

/** Takes intents whatever their lease. */
export function takeIntents(
  { table }: JournalDatabase,
  tenantNo: number,
  segmentIds: readonly string[],
): PgFragment {
  const ids = textArray(segmentIds.map(storedText));
  return prepared`UPDATE ${table("intent")} SET expires_at = ${TAKEN}
    WHERE tenant_no = ${tenantNo} AND segment_id = ANY (${ids})`;
}

/** Uses intents up; the count tells how many were there and not taken. */
export function useIntents(
  { table }: JournalDatabase,
  tenantNo: number,
  segmentIds: readonly string[],
): PgFragment {
  const ids = textArray(segmentIds.map(storedText));
  return prepared`DELETE FROM ${table("intent")}
    WHERE tenant_no = ${tenantNo} AND segment_id = ANY (${ids}) AND expires_at <> ${TAKEN}`;
}

/** Makes segments that leave the catalogue taken intents, so that their files are removed in any case. */
export function intendRemoval(
  { table }: JournalDatabase,
  tenantNo: number,
  segmentIds: readonly string[],
): PgFragment {
  const ids = textArray(segmentIds.map(storedText));
  return prepared`INSERT INTO ${table("intent")} (tenant_no, segment_id, blob_key, expires_at)
    SELECT tenant_no, segment_id, blob_key, ${TAKEN}::bigint FROM ${table("segment")}
      WHERE tenant_no = ${tenantNo} AND segment_id = ANY (${ids})
    ON CONFLICT (tenant_no, segment_id) DO UPDATE SET expires_at = excluded.expires_at`;
}

/** Removes intents; the count tells how many were there. */
export function removeIntents(
  { table }: JournalDatabase,
  tenantNo: number,
  segmentIds: readonly string[],
): PgFragment {
  const ids = textArray(segmentIds.map(storedText));
  return prepared`DELETE FROM ${table("intent")}
    WHERE tenant_no = ${tenantNo} AND segment_id = ANY (${ids})`;
}

/** Reads a receipt by its key, as `receipt`. */
export function selectReceipt(
  { table }: JournalDatabase,
  tenantNo: number,
  { kind, key }: { readonly kind: string; readonly key: string },
): PgFragment {
  return prepared`SELECT receipt FROM ${table("receipt")}
    WHERE tenant_no = ${tenantNo} AND kind = ${kind} AND key = ${storedText(key)}`;
}

/** Reads a named value, as `value`. */
export function selectState(
  { table }: JournalDatabase,
  tenantNo: number,
  name: string,
): PgFragment {
  return prepared`SELECT value FROM ${table("state")}
    WHERE tenant_no = ${tenantNo} AND name = ${storedText(name)}`;
}

/** Sets a named value, or removes it. */
export function writeState(
  { table }: JournalDatabase,
  tenantNo: number,
  { name, value }: { readonly name: string; readonly value: string | undefined },
): PgFragment {
  const stored = storedText(name);
  return value === undefined
    ? prepared`DELETE FROM ${table("state")} WHERE tenant_no = ${tenantNo} AND name = ${stored}`
    : prepared`INSERT INTO ${table("state")} (tenant_no, name, value)
        VALUES (${tenantNo}, ${stored}, ${storedText(value)})
        ON CONFLICT (tenant_no, name) DO UPDATE SET value = excluded.value`;
}

/** Reads named values whose names begin with a prefix, by name. */
export function selectStates(
  { table }: JournalDatabase,
  tenantNo: number,
  prefix: string,
): PgFragment {
  const stored = storedText(prefix);
  return prepared`SELECT name, value FROM ${table("state")} WHERE tenant_no = ${tenantNo}
    AND name >= ${stored} AND starts_with(name, ${stored}) ORDER BY name`;
}

/** Notes refused records; one that is noted already is replaced, unless a later version is known of. */
export function writeQuarantine(
  { table }: JournalDatabase,
  tenantNo: number,
  rows: readonly QuarantineRow[],
): PgFragment {
  // A statement must not touch a row twice; of several notes on one record the last holds.
  const latest = new Map(
    rows.map((row) => [JSON.stringify([row.role, row.collection, row.type, row.id]), row]),
  );
  const notes = [...latest.values()];
  return prepared`INSERT INTO ${table("quarantine")} AS noted
      (tenant_no, role, collection, type, id, sequence, since, reason, at)
    SELECT ${tenantNo}::int, k.* FROM unnest(${keyArrays(notes)},
      ${bigintArray(notes.map(({ sequence }) => sequence))},
      ${bigintArray(notes.map(({ since }) => since))},
      ${textArray(notes.map(({ reason }) => storedText(reason)))},
      ${bigintArray(notes.map(({ at }) => at))}) AS k
    ON CONFLICT (tenant_no, role, collection, type, id) DO UPDATE
    SET sequence = excluded.sequence, since = excluded.since, passed_by = NULL,
      reason = excluded.reason, at = excluded.at
    WHERE greatest(noted.sequence, noted.passed_by) <= excluded.sequence`;
}

/** Reads noted records in the order of role, collection, type and id. */
export function selectQuarantine(
  { table }: JournalDatabase,
  tenantNo: number,
  query: {
    readonly role?: string;
    readonly collection?: string;
    readonly withPassed?: boolean;
    readonly limit: number;
    readonly after?: QuarantineKey;
  },
): PgFragment {
  const { role, collection, withPassed = false, after, limit } = query;
  const last = [after?.role, after?.collection, after?.type, after?.id].map((part) =>
    storedText(part ?? ""),
  );
  const [roleAfter = "", collectionAfter = "", typeAfter = "", idAfter = ""] = last;
  const ofRole = role === undefined ? sql`` : sql`AND role = ${storedText(role)}`;
  const ofCollection =
    collection === undefined ? sql`` : sql`AND collection = ${storedText(collection)}`;
  return prepared`SELECT * FROM ${table("quarantine")} WHERE tenant_no = ${tenantNo}
    AND (role, collection, type, id) > (${roleAfter}, ${collectionAfter}, ${typeAfter}, ${idAfter})
    ${ofRole} ${ofCollection} ${withPassed ? sql`` : sql`AND passed_by IS NULL`} ORDER BY role, collection, type, id LIMIT ${limit}`;
}

/** A noted record in a row of {@link selectQuarantine}. */
export function quarantineOf(row: PgRow): QuarantineRow {
  return {
    role: textOf(row["role"]),
    collection: textOf(row["collection"]),
    type: textOf(row["type"]),
    id: textOf(row["id"]),
    sequence: Number(row["sequence"]),
    // What an earlier version noted tells of the one version only.
    since: Number(row["since"] ?? row["sequence"]),
    ...(row["passed_by"] === null ? {} : { passedBy: Number(row["passed_by"]) }),
    reason: textOf(row["reason"]),
    at: Number(row["at"]),
  };
}

/** Marks noted records as passed, except those noted in a later version. */
export function markPassed(
  { table }: JournalDatabase,
  tenantNo: number,
  rows: readonly (QuarantineVersion & { readonly passedBy: number })[],
): PgFragment {
  return prepared`UPDATE ${table("quarantine")} AS noted SET passed_by = k.passed_by
    FROM unnest(${keyArrays(rows)}, ${bigintArray(rows.map(({ sequence }) => sequence))},
        ${bigintArray(rows.map(({ passedBy }) => passedBy))})
      AS k (role, collection, type, id, sequence, passed_by)
    WHERE noted.tenant_no = ${tenantNo} AND noted.role = k.role AND noted.collection = k.collection
    AND noted.type = k.type AND noted.id = k.id AND noted.sequence <= k.sequence`;
}

/** Forgets noted records, except those noted in a later version. */
export function removeQuarantine(
  { table }: JournalDatabase,
  tenantNo: number,
  rows: readonly QuarantineVersion[],
): PgFragment {
  return prepared`DELETE FROM ${table("quarantine")} AS noted
    USING unnest(${keyArrays(rows)}, ${bigintArray(rows.map(({ sequence }) => sequence))})
      AS k (role, collection, type, id, sequence)
    WHERE noted.tenant_no = ${tenantNo} AND noted.role = k.role AND noted.collection = k.collection
    AND noted.type = k.type AND noted.id = k.id AND noted.sequence <= k.sequence`;
}

function keyArrays(rows: readonly QuarantineKey[]): PgFragment {
  const column = (take: (row: QuarantineKey) => string): PgFragment =>
    textArray(rows.map((row) => storedText(take(row))));
  return sql`${column(({ role }) => role)}, ${column(({ collection }) => collection)},
    ${column(({ type }) => type)}, ${column(({ id }) => id)}`;
}
