import {
  bigintArray,
  originalText,
  prepared,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgCell, PgRow } from "../drivers/postgresql-statements.ts";
import { StoreError } from "../errors.ts";
import type { JournalHead, LineLocation, SegmentRow, StoredEntry } from "./journal.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";

/** Reads a tenant's journal state. */
export function selectHead({ table }: JournalDatabase, tenantNo: number): PgFragment {
  return prepared`SELECT timeline, sequence, last_entry_hash, last_received_at, frontier
    FROM ${table("head")} WHERE tenant_no = ${tenantNo}`;
}

/** The journal state in a row of {@link selectHead}. */
export function headOf(row: PgRow | undefined): JournalHead | undefined {
  // A tenant's row is there before its first commit.
  if (row === undefined || row["sequence"] === 0) return undefined;
  return {
    timeline: textOf(row["timeline"]),
    sequence: Number(row["sequence"]),
    lastEntryHash: bytesOf(row["last_entry_hash"]),
    lastReceivedAt: Number(row["last_received_at"]),
    frontier: bytesOf(row["frontier"]),
  };
}

/** Reads entries behind a sequence, ascending, of some types or of all. */
export function selectEntries(
  { table }: JournalDatabase,
  tenantNo: number,
  range: {
    readonly after: number;
    readonly type?: readonly string[];
    readonly limit: number;
  },
): PgFragment {
  const { after, type, limit } = range;
  if (type === undefined) {
    return prepared`SELECT e.*, t.name AS type FROM ${table("entry")} e JOIN ${table("type")} t USING (type_no)
      WHERE tenant_no = ${tenantNo} AND sequence > ${after} ORDER BY sequence LIMIT ${limit}`;
  }
  // A page of each type, so that a rare type is not looked for among all the others.
  return prepared`SELECT e.*, t.name AS type FROM ${table("type")} t CROSS JOIN LATERAL
    (SELECT * FROM ${table("entry")} WHERE tenant_no = ${tenantNo} AND type_no = t.type_no
      AND sequence > ${after} ORDER BY sequence LIMIT ${limit}) AS e
    WHERE t.name = ANY (${textArray(type)}) ORDER BY e.sequence LIMIT ${limit}`;
}

/** Reads the entry at a sequence. */
export function selectEntry(
  { table }: JournalDatabase,
  tenantNo: number,
  sequence: number,
): PgFragment {
  return prepared`SELECT e.*, t.name AS type FROM ${table("entry")} e JOIN ${table("type")} t USING (type_no)
    WHERE tenant_no = ${tenantNo} AND sequence = ${sequence}`;
}

/** An entry in a row of {@link selectEntries}. */
export function entryOf(row: PgRow): StoredEntry {
  return {
    sequence: Number(row["sequence"]),
    hash: bytesOf(row["hash"]),
    bytes: bytesOf(row["bytes"]),
    commit: textOf(row["commit_id"]),
    type: String(row["type"]),
    operation: textOf(row["operation"]),
    count: Number(row["count"]),
    receivedAt: Number(row["received_at"]),
    location: locationOf(row),
  };
}

/** Reads the last sequence of some types as `last`, null when there is none. */
export function selectLastSequence(
  { table }: JournalDatabase,
  tenantNo: number,
  types: readonly string[],
): PgFragment {
  return prepared`SELECT max(l.last) AS last FROM ${table("type")} t CROSS JOIN LATERAL
    (SELECT max(sequence) AS last FROM ${table("entry")}
      WHERE tenant_no = ${tenantNo} AND type_no = t.type_no) AS l
    WHERE t.name = ANY (${textArray(types)})`;
}

/** Reads the inline lines of an entry as `lines`. */
export function selectInlineLines(
  { table }: JournalDatabase,
  tenantNo: number,
  sequence: number,
): PgFragment {
  return prepared`SELECT lines FROM ${table("entry_lines")}
    WHERE tenant_no = ${tenantNo} AND sequence = ${sequence}`;
}

/** Reads nodes of the tenant's tree: `hash`, and `n`, the place in the list from 1. */
export function selectTreeNodes(
  { table }: JournalDatabase,
  tenantNo: number,
  nodes: readonly { readonly level: number; readonly index: number }[],
): PgFragment {
  const levels = bigintArray(nodes.map(({ level }) => level));
  const positions = bigintArray(nodes.map(({ index }) => index));
  return prepared`SELECT k.n, node.hash FROM unnest(${levels}, ${positions})
      WITH ORDINALITY AS k (level, position, n)
    JOIN ${table("tree_node")} node ON node.tenant_no = ${tenantNo} AND node.level = k.level
      AND node.position = k.position`;
}

/** Reads the tree head of a size, or the latest, as `head`. */
export function selectTreeHead(
  { table }: JournalDatabase,
  tenantNo: number,
  size: number | undefined,
): PgFragment {
  return size === undefined
    ? prepared`SELECT head FROM ${table("tree_head")} WHERE tenant_no = ${tenantNo}
        ORDER BY size DESC LIMIT 1`
    : prepared`SELECT head FROM ${table("tree_head")} WHERE tenant_no = ${tenantNo} AND size = ${size}`;
}

/** Reads tree heads of more than a size, ascending. */
export function selectTreeHeads(
  { table }: JournalDatabase,
  tenantNo: number,
  range: { readonly afterSize: number; readonly limit: number },
): PgFragment {
  return prepared`SELECT head FROM ${table("tree_head")} WHERE tenant_no = ${tenantNo}
    AND size > ${range.afterSize} ORDER BY size LIMIT ${range.limit}`;
}

/** Reads segments of the catalogue behind an id, ascending. */
export function selectSegments(
  { table }: JournalDatabase,
  tenantNo: number,
  range: { readonly after: string | undefined; readonly limit: number },
): PgFragment {
  return prepared`SELECT * FROM ${table("segment")} WHERE tenant_no = ${tenantNo}
    AND segment_id > ${storedText(range.after ?? "")} ORDER BY segment_id LIMIT ${range.limit}`;
}

/** Reads a segment of the catalogue. */
export function selectSegment(
  { table }: JournalDatabase,
  tenantNo: number,
  segmentId: string,
): PgFragment {
  return prepared`SELECT * FROM ${table("segment")}
    WHERE tenant_no = ${tenantNo} AND segment_id = ${storedText(segmentId)}`;
}

/** A segment in a row of {@link selectSegments}. */
export function segmentOf(row: PgRow): SegmentRow {
  return {
    segmentId: textOf(row["segment_id"]),
    blobKey: textOf(row["blob_key"]),
    bytes: Number(row["bytes"]),
    lines: Number(row["lines"]),
    hash: bytesOf(row["hash"]),
    period: textOf(row["period"]),
  };
}

/** A column of bytes. @throws StoreError `corrupt`. */
export function bytesOf(value: PgCell | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new StoreError("corrupt", `a bytes column holds ${typeof value}`);
}

/** A column of text as it was given to be stored. @throws StoreError `corrupt`. */
export function textOf(value: PgCell | undefined): string {
  if (typeof value === "string") return originalText(value);
  throw new StoreError("corrupt", `a text column holds ${typeof value}`);
}

function locationOf(row: PgRow): LineLocation {
  if (row["segment_id"] === null) return { kind: "inline" };
  const segmentId = textOf(row["segment_id"]);
  return { kind: "segment", segmentId, firstLine: Number(row["first_line"]) };
}
