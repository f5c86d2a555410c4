import {
  bigintArray,
  bytesArray,
  prepared,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgSession } from "../drivers/postgresql-session.ts";
import { StoreError } from "../errors.ts";
import type { PgResult } from "../drivers/postgresql-statements.ts";
import type {
  JournalAppend,
  JournalHead,
  LineLocation,
  NewEntry,
  Relocation,
  SegmentRow,
} from "./journal.ts";
import { addIds, withCounts } from "./postgresql-journal-ids.ts";
import type { IdCounts } from "./postgresql-journal-ids.ts";
import { WrongNumber } from "./postgresql-journal-numbers.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";
import { intendRemoval, useIntents } from "./postgresql-journal-state.ts";

/** What a commit's statements are made of, besides the commit. */
export interface AppendContext {
  readonly database: JournalDatabase;
  readonly tenantNo: number;
  /** The numbers of the commit's types. */
  readonly typeNumbers: ReadonlyMap<string, number>;
}

/** The statements that write one commit, and what their answers must be. */
export interface CommitStatements {
  readonly statements: readonly PgFragment[];
  /**
   * Adds what it has added to the counts of ids.
   *
   * @throws StoreError `conflict` when an intent was gone, WrongNumber when the numbers are others'.
   */
  readonly read: (results: readonly PgResult[], counts: IdCounts) => IdCounts;
}

/**
 * Prepares the statements that write one commit, tables of its types and the head aside.
 *
 * @throws StoreError `refused` when an entry's hashes do not fit its ids.
 */
export function commitStatements(
  { database, tenantNo, typeNumbers }: AppendContext,
  commit: JournalAppend,
): CommitStatements {
  const { entries, segments, intents, receipt } = commit;
  const ofIntents = intents.length === 0 ? [] : [useIntents(database, tenantNo, intents)];
  const ofIds = entries.flatMap(({ type, sequence, operation, ids, contentHashes }) => {
    const isDelete = operation === "delete";
    const space = { tenantNo, typeNo: typeNumbers.get(type) ?? 0 };
    return addIds(database, space, { sequence, isDelete, ids, contentHashes });
  });
  const ofSegments = segments.length === 0 ? [] : [insertSegments(database, tenantNo, segments)];
  const ofReceipt =
    receipt === undefined
      ? []
      : [
          prepared`INSERT INTO ${database.table("receipt")} (tenant_no, kind, key, receipt)
            VALUES (${tenantNo}, ${receipt.kind}, ${storedText(receipt.key)},
              ${storedText(receipt.receipt)})`,
        ];
  return {
    statements: [
      ...ofIntents,
      insertEntries({ database, tenantNo, typeNumbers }, commit),
      ...ofSegments,
      ...ofIds,
      ...ofReceipt,
    ],
    read(results, counts) {
      requireIntents(intents, results[0]?.count ?? 0);
      const [added] = results.slice(ofIntents.length);
      if (added?.rows[0]?.["entries"] !== entries.length) throw new WrongNumber();
      const first = ofIntents.length + 1 + ofSegments.length;
      return withCounts(counts, results.slice(first, first + ofIds.length));
    },
  };
}

/** Writes the tenant's state as commits have left it; its row is locked. */
export function updateHead(
  { table }: JournalDatabase,
  tenantNo: number,
  head: JournalHead,
): PgFragment {
  return prepared`UPDATE ${table("head")} SET timeline = ${storedText(head.timeline)},
    sequence = ${head.sequence}, last_entry_hash = ${head.lastEntryHash},
    last_received_at = ${head.lastReceivedAt}, frontier = ${head.frontier}
    WHERE tenant_no = ${tenantNo}`;
}

/** Whether entries follow the head. @throws StoreError `conflict` when they do not. */
export function requireNext(last: number, { head, entries }: JournalAppend): void {
  const isNext = entries.every(({ sequence }, index) => sequence === last + index + 1);
  if (isNext && head.sequence === last + entries.length) return;
  throw new StoreError("conflict", `the journal's head is at ${last}; entries must follow it`);
}

/** Whether the statements removed every intent. @throws StoreError `conflict` when one was gone or taken. */
function requireIntents(intents: readonly string[], removed: number): void {
  if (intents.length === 0 || removed === intents.length) return;
  const names = intents.join(", ");
  throw new StoreError("conflict", `an intent to write a segment is gone: one of ${names}`);
}

/** Moves the lines of entries into a new segment; inside a transaction. */
export async function relocateLines(
  session: PgSession,
  { database, tenantNo }: Pick<AppendContext, "database" | "tenantNo">,
  { segment, entries, dropped }: Relocation,
): Promise<void> {
  const { table } = database;
  const sequences = bigintArray(entries.map(({ sequence }) => sequence));
  const [intents, , moved] = await session.runAll([
    useIntents(database, tenantNo, [segment.segmentId]),
    insertSegments(database, tenantNo, [segment]),
    prepared`UPDATE ${table("entry")} e SET segment_id = ${storedText(segment.segmentId)},
        first_line = k.to_line
      FROM unnest(${sequences}, ${textArray(entries.map(({ from }) => segmentOf(from)))},
        ${bigintArray(entries.map(({ from }) => lineOf(from)))},
        ${bigintArray(entries.map(({ firstLine }) => firstLine))})
        AS k (sequence, from_segment, from_line, to_line)
      WHERE e.tenant_no = ${tenantNo} AND e.sequence = k.sequence
        AND e.segment_id IS NOT DISTINCT FROM k.from_segment COLLATE "C"
        AND e.first_line IS NOT DISTINCT FROM k.from_line RETURNING e.sequence`,
    prepared`DELETE FROM ${table("entry_lines")}
      WHERE tenant_no = ${tenantNo} AND sequence = ANY (${sequences})`,
    intendRemoval(database, tenantNo, dropped),
    prepared`DELETE FROM ${table("segment")}
      WHERE tenant_no = ${tenantNo} AND segment_id = ANY (${textArray(dropped.map(storedText))})`,
  ]);
  requireIntents([segment.segmentId], intents?.count ?? 0);
  const found = new Set(moved?.rows.map((row) => Number(row["sequence"])));
  const missed = entries.find(({ sequence }) => !found.has(sequence));
  if (missed === undefined) return;
  throw new StoreError("conflict", `entry ${missed.sequence} no longer lies where it did`);
}

/** One statement for what every commit has, as each costs about as much as the rows of a small commit. */
function insertEntries(
  { database: { table }, tenantNo, typeNumbers }: AppendContext,
  { head, entries, nodes, treeHead }: JournalAppend,
): PgFragment {
  const numbers = (take: (entry: NewEntry) => number | null): PgFragment =>
    bigintArray(entries.map(take));
  const texts = (take: (entry: NewEntry) => string | null): PgFragment =>
    textArray(entries.map(take));
  const inline = entries.filter(({ lines }) => lines !== undefined);
  // By number and name: an entry whose type the server knows by another number is not written.
  return prepared`WITH added AS (INSERT INTO ${table("entry")} (tenant_no, sequence, type_no, count, received_at,
        first_line, hash, bytes, commit_id, operation, segment_id)
      SELECT ${tenantNo}::int, k.sequence, t.type_no, k.count, k.received_at, k.first_line, k.hash, k.bytes,
        k.commit_id, k.operation, k.segment_id
      FROM unnest(${numbers(({ sequence }) => sequence)},
        ${numbers(({ type }) => typeNumbers.get(type) ?? 0)}, ${texts(({ type }) => type)},
        ${numbers(({ count }) => count)}, ${numbers(({ receivedAt }) => receivedAt)},
        ${numbers(({ location }) => lineOf(location))}, ${bytesArray(entries.map(({ hash }) => hash))},
        ${bytesArray(entries.map(({ bytes }) => bytes))}, ${texts(({ commit }) => storedText(commit))},
        ${texts(({ operation }) => storedText(operation))}, ${texts(({ location }) => segmentOf(location))})
        AS k (sequence, type_no, type, count, received_at, first_line, hash, bytes, commit_id, operation,
          segment_id)
      JOIN ${table("type")} t ON t.type_no = k.type_no AND t.name = k.type RETURNING 1),
    lines AS (INSERT INTO ${table("entry_lines")} (tenant_no, sequence, lines)
      SELECT ${tenantNo}::int, k.* FROM unnest(${bigintArray(inline.map(({ sequence }) => sequence))},
        ${bytesArray(inline.map(({ lines = new Uint8Array() }) => lines))}) AS k),
    nodes AS (INSERT INTO ${table("tree_node")} (tenant_no, level, position, hash)
      SELECT ${tenantNo}::int, k.* FROM unnest(${bigintArray(nodes.map(({ level }) => level))},
        ${bigintArray(nodes.map(({ index }) => index))},
        ${bytesArray(nodes.map(({ hash }) => hash))}) AS k),
    heads AS (INSERT INTO ${table("tree_head")} (tenant_no, size, head)
      VALUES (${tenantNo}, ${head.sequence}, ${treeHead}))
    SELECT count(*) AS entries FROM added`;
}

function insertSegments(
  { table }: JournalDatabase,
  tenantNo: number,
  segments: readonly SegmentRow[],
): PgFragment {
  const texts = (take: (segment: SegmentRow) => string): PgFragment =>
    textArray(segments.map((segment) => storedText(take(segment))));
  return prepared`INSERT INTO ${table("segment")} (tenant_no, segment_id, blob_key, bytes, lines, hash, period)
    SELECT ${tenantNo}::int, k.* FROM unnest(${texts(({ segmentId }) => segmentId)},
      ${texts(({ blobKey }) => blobKey)}, ${bigintArray(segments.map(({ bytes }) => bytes))},
      ${bigintArray(segments.map(({ lines }) => lines))}, ${bytesArray(segments.map(({ hash }) => hash))},
      ${texts(({ period }) => period)}) AS k`;
}

function segmentOf(location: LineLocation): string | null {
  return location.kind === "inline" ? null : storedText(location.segmentId);
}

function lineOf(location: LineLocation): number | null {
  return location.kind === "inline" ? null : location.firstLine;
}
