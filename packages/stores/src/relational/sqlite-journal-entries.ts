import type { SQLOutputValue } from "node:sqlite";

import { StoreError } from "../errors.ts";
import type { JournalHead, LineLocation, SegmentRow, StoredEntry } from "./journal.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";

type Row = Readonly<Record<string, SQLOutputValue>>;

/** A tenant's journal state, `undefined` before its first commit. */
export function readHead(connection: JournalConnection, tenantNo: number): JournalHead | undefined {
  const row = connection.statement("SELECT * FROM head WHERE tenant_no = ?").get(tenantNo);
  if (row === undefined) return undefined;
  return {
    timeline: String(row["timeline"]),
    sequence: Number(row["sequence"]),
    lastEntryHash: bytesOf(row["last_entry_hash"]),
    lastReceivedAt: Number(row["last_received_at"]),
    frontier: bytesOf(row["frontier"]),
  };
}

/** Entries behind a sequence, ascending. */
export function readEntries(
  connection: JournalConnection,
  tenantNo: number,
  range: { readonly after: number; readonly types?: readonly string[]; readonly limit: number },
): readonly StoredEntry[] {
  const { after, types, limit } = range;
  if (types === undefined) {
    return connection
      .statement(
        "SELECT * FROM entry WHERE tenant_no = ? AND sequence > ? ORDER BY sequence LIMIT ?",
      )
      .all(tenantNo, after, limit)
      .map((row) => entryOf(connection, row));
  }
  const list = JSON.stringify(typeNumbers(connection, types));
  return connection
    .statement(
      `SELECT e.* FROM json_each(?1) AS t CROSS JOIN entry AS e INDEXED BY entry_type
       ON e.tenant_no = ?2 AND e.type_no = t.value AND e.sequence > ?3 ORDER BY e.sequence LIMIT ?4`,
    )
    .all(list, tenantNo, after, limit)
    .map((row) => entryOf(connection, row));
}

/** The entry at a sequence. */
export function readEntry(
  connection: JournalConnection,
  tenantNo: number,
  sequence: number,
): StoredEntry | undefined {
  const row = connection
    .statement("SELECT * FROM entry WHERE tenant_no = ? AND sequence = ?")
    .get(tenantNo, sequence);
  return row === undefined ? undefined : entryOf(connection, row);
}

/** The last sequence of some types, 0 when there is none. */
export function readLastSequence(
  connection: JournalConnection,
  tenantNo: number,
  types: readonly string[],
): number {
  const select = connection.statement(
    "SELECT max(sequence) AS last FROM entry WHERE tenant_no = ? AND type_no = ?",
  );
  const last = typeNumbers(connection, types).map((typeNo) =>
    Number(select.get(tenantNo, typeNo)?.["last"] ?? 0),
  );
  return Math.max(0, ...last);
}

/** The inline lines of an entry. */
export function readInlineLines(
  connection: JournalConnection,
  tenantNo: number,
  sequence: number,
): Uint8Array | undefined {
  const row = connection
    .statement("SELECT lines FROM entry_lines WHERE tenant_no = ? AND sequence = ?")
    .get(tenantNo, sequence);
  return row === undefined ? undefined : bytesOf(row["lines"]);
}

/** Nodes of the tenant's tree, in the order asked. */
export function readTreeNodes(
  connection: JournalConnection,
  tenantNo: number,
  nodes: readonly { readonly level: number; readonly index: number }[],
): readonly (Uint8Array | undefined)[] {
  const select = connection.statement(
    "SELECT hash FROM tree_node WHERE tenant_no = ? AND level = ? AND position = ?",
  );
  return nodes.map(({ level, index }) => {
    const row = select.get(tenantNo, level, index);
    return row === undefined ? undefined : bytesOf(row["hash"]);
  });
}

/** The tree head of a size, or the latest. */
export function readTreeHead(
  connection: JournalConnection,
  tenantNo: number,
  size?: number,
): Uint8Array | undefined {
  const row =
    size === undefined
      ? connection
          .statement("SELECT head FROM tree_head WHERE tenant_no = ? ORDER BY size DESC LIMIT 1")
          .get(tenantNo)
      : connection
          .statement("SELECT head FROM tree_head WHERE tenant_no = ? AND size = ?")
          .get(tenantNo, size);
  return row === undefined ? undefined : bytesOf(row["head"]);
}

/** Tree heads of more than a size, ascending. */
export function readTreeHeads(
  connection: JournalConnection,
  tenantNo: number,
  range: { readonly afterSize: number; readonly limit: number },
): readonly Uint8Array[] {
  return connection
    .statement("SELECT head FROM tree_head WHERE tenant_no = ? AND size > ? ORDER BY size LIMIT ?")
    .all(tenantNo, range.afterSize, range.limit)
    .map((row) => bytesOf(row["head"]));
}

/** Segments of the catalogue behind an id, ascending. */
export function readSegments(
  connection: JournalConnection,
  tenantNo: number,
  range: { readonly after: string | undefined; readonly limit: number },
): readonly SegmentRow[] {
  return connection
    .statement(
      "SELECT * FROM segment WHERE tenant_no = ? AND segment_id > ? ORDER BY segment_id LIMIT ?",
    )
    .all(tenantNo, range.after ?? "", range.limit)
    .map(segmentOf);
}

/** A segment of the catalogue. */
export function readSegment(
  connection: JournalConnection,
  tenantNo: number,
  segmentId: string,
): SegmentRow | undefined {
  const row = connection
    .statement("SELECT * FROM segment WHERE tenant_no = ? AND segment_id = ?")
    .get(tenantNo, segmentId);
  return row === undefined ? undefined : segmentOf(row);
}

function bytesOf(value: SQLOutputValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new StoreError("corrupt", `a bytes column holds ${typeof value}`);
}

function typeNumbers(connection: JournalConnection, types: readonly string[]): readonly number[] {
  const numbers = types.map((type) => connection.numberOf("type", type));
  return [...new Set(numbers.filter((number) => number !== undefined))];
}

function entryOf(connection: JournalConnection, row: Row): StoredEntry {
  return {
    sequence: Number(row["sequence"]),
    hash: bytesOf(row["hash"]),
    bytes: bytesOf(row["bytes"]),
    commit: String(row["commit_id"]),
    type: connection.typeName(Number(row["type_no"])),
    operation: String(row["operation"]),
    count: Number(row["count"]),
    receivedAt: Number(row["received_at"]),
    location: locationOf(row),
  };
}

function locationOf(row: Row): LineLocation {
  const segmentId = row["segment_id"];
  if (typeof segmentId !== "string") return { kind: "inline" };
  return { kind: "segment", segmentId, firstLine: Number(row["first_line"]) };
}

function segmentOf(row: Row): SegmentRow {
  return {
    segmentId: String(row["segment_id"]),
    blobKey: String(row["blob_key"]),
    bytes: Number(row["bytes"]),
    lines: Number(row["lines"]),
    hash: bytesOf(row["hash"]),
    period: String(row["period"]),
  };
}
