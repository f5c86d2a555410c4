import { StoreError } from "../errors.ts";
import type { JournalAppend, NewEntry, Relocation, SegmentRow } from "./journal.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";
import { readEntry } from "./sqlite-journal-entries.ts";
import { addIds } from "./sqlite-journal-ids.ts";
import { intendRemoval, useIntent } from "./sqlite-journal-state.ts";
import { writeTable } from "./sqlite-journal-tables.ts";

/**
 * Writes one commit; the caller has the lock and a savepoint.
 *
 * @throws StoreError `conflict` when the entries do not follow the head, an intent is gone, a receipt
 *   exists or a table's constraint is violated.
 */
export function writeCommit(
  connection: JournalConnection,
  tenant: string,
  commit: JournalAppend,
): void {
  const tenantNo = connection.makeNumber("tenant", tenant);
  writeHead(connection, tenantNo, commit);
  for (const segmentId of commit.intents) requireIntent(connection, tenantNo, segmentId);
  for (const segment of commit.segments) writeSegment(connection, tenantNo, segment);
  for (const entry of commit.entries) writeEntry(connection, tenantNo, entry);
  const node = connection.statement("INSERT INTO tree_node VALUES (?, ?, ?, ?)");
  for (const { level, index, hash } of commit.nodes) node.run(tenantNo, level, index, hash);
  connection
    .statement("INSERT INTO tree_head VALUES (?, ?, ?)")
    .run(tenantNo, commit.head.sequence, commit.treeHead);
  if (commit.receipt !== undefined) {
    const { kind, key, receipt } = commit.receipt;
    connection
      .statement("INSERT INTO receipt VALUES (?, ?, ?, ?)")
      .run(tenantNo, kind, key, receipt);
  }
  for (const table of commit.tables ?? []) writeTable(connection, tenantNo, table);
}

/** Moves the lines of entries into a new segment; inside a transaction. */
export function relocateLines(
  connection: JournalConnection,
  tenantNo: number,
  { segment, entries, dropped }: Relocation,
): void {
  requireIntent(connection, tenantNo, segment.segmentId);
  writeSegment(connection, tenantNo, segment);
  const move = connection.statement(
    "UPDATE entry SET segment_id = ?, first_line = ? WHERE tenant_no = ? AND sequence = ?",
  );
  const dropLines = connection.statement(
    "DELETE FROM entry_lines WHERE tenant_no = ? AND sequence = ?",
  );
  for (const { sequence, from, firstLine } of entries) {
    const at = readEntry(connection, tenantNo, sequence)?.location;
    if (at === undefined || locationText(at) !== locationText(from)) {
      throw new StoreError("conflict", `entry ${sequence} no longer lies where it did`);
    }
    move.run(segment.segmentId, firstLine, tenantNo, sequence);
    dropLines.run(tenantNo, sequence);
  }
  const drop = connection.statement("DELETE FROM segment WHERE tenant_no = ? AND segment_id = ?");
  for (const segmentId of dropped) {
    intendRemoval(connection, tenantNo, segmentId);
    drop.run(tenantNo, segmentId);
  }
}

function writeHead(
  connection: JournalConnection,
  tenantNo: number,
  { head, entries }: JournalAppend,
): void {
  const row = connection.statement("SELECT sequence FROM head WHERE tenant_no = ?").get(tenantNo);
  const last = Number(row?.["sequence"] ?? 0);
  const isNext = entries.every(({ sequence }, index) => sequence === last + index + 1);
  if (!isNext || head.sequence !== last + entries.length) {
    throw new StoreError("conflict", `the journal's head is at ${last}; entries must follow it`);
  }
  connection
    .statement("INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?, ?, ?)")
    .run(
      tenantNo,
      head.timeline,
      head.sequence,
      head.lastEntryHash,
      head.lastReceivedAt,
      head.frontier,
    );
}

function writeEntry(connection: JournalConnection, tenantNo: number, entry: NewEntry): void {
  const typeNo = connection.makeNumber("type", entry.type);
  const { location, sequence } = entry;
  const isInSegment = location.kind === "segment";
  connection
    .statement("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    .run(
      tenantNo,
      sequence,
      entry.hash,
      entry.bytes,
      entry.commit,
      typeNo,
      entry.operation,
      entry.count,
      entry.receivedAt,
      isInSegment ? location.segmentId : null,
      isInSegment ? location.firstLine : null,
    );
  if (entry.lines !== undefined) {
    connection
      .statement("INSERT INTO entry_lines VALUES (?, ?, ?)")
      .run(tenantNo, sequence, entry.lines);
  }
  if (entry.ids.length === 0) return;
  const isDelete = entry.operation === "delete";
  const { ids, contentHashes } = entry;
  addIds(connection, { tenantNo, typeNo }, { sequence, isDelete, ids, contentHashes });
}

function requireIntent(connection: JournalConnection, tenantNo: number, segmentId: string): void {
  if (useIntent(connection, tenantNo, segmentId)) return;
  throw new StoreError("conflict", `the intent to write segment ${segmentId} is gone`);
}

function writeSegment(connection: JournalConnection, tenantNo: number, segment: SegmentRow): void {
  const { segmentId, blobKey, bytes, lines, hash, period } = segment;
  connection
    .statement("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?)")
    .run(tenantNo, segmentId, blobKey, bytes, lines, hash, period);
}

function locationText(location: NewEntry["location"]): string {
  return location.kind === "inline" ? "" : `${location.segmentId}:${location.firstLine}`;
}
