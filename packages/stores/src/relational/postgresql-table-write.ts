import type { ColumnValue } from "@custody/contract/value-expression";

import type { PgSession } from "../drivers/postgresql-session.ts";
import { bigintArray, prepared, sql, storedText, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import type { TableColumn } from "./content.ts";
import {
  arrayElement,
  BEYOND,
  beyondTexts,
  boundColumn,
  commaList,
  hasStandIns,
} from "./postgresql-columns.ts";
import type { PgColumn } from "./postgresql-columns.ts";
import type { PgWriting } from "./postgresql-relation.ts";

/** A table's columns, as records fill them and as statements name them, in the same order. */
export interface TableColumns {
  readonly taken: readonly TableColumn[];
  readonly held: readonly PgColumn[];
}

interface WrittenTable {
  /** Quoted, with its schema. */
  readonly table: string;
  readonly columns: TableColumns;
}

// Rows are sent a few hundred at a time: while the server writes some, the next are made. No statement
// has more text than is well kept in memory here and there; the row that exceeds it is its last.
const STATEMENT_ROWS_MAX = 500;
const STATEMENT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Writes the latest version of each record: deletions first, then rows, whose values are sent as one
 * array a column.
 */
export async function writeRows(
  session: PgSession,
  into: WrittenTable,
  { writing, last }: { readonly writing: PgWriting; readonly last: readonly PgFragment[] },
): Promise<void> {
  const versions = latestVersions(writing);
  const removed = versions.filter(({ isRemoved }) => isRemoved);
  let next: readonly PgFragment[] = removed.length === 0 ? [] : [deletion(into, removed, writing)];
  let sent: Promise<unknown> = Promise.resolve();
  for (const rows of rowChunks(into.columns, versions)) {
    if (next.length > 0) {
      await sent;
      sent = session.runAll(next);
      // Awaited below, unless the next rows cannot be made: then that is what went wrong.
      sent.catch(() => undefined);
    }
    next = [insertion(into, rows, writing)];
  }
  await sent;
  const statements = [...next, ...last];
  if (statements.length > 0) await session.runAll(statements);
}

interface Version {
  readonly id: string;
  readonly batch: RecordBatch;
  readonly index: number;
  readonly sequence: number;
  readonly isRemoved: boolean;
}

/** The latest version of each record above the checkpoint. */
function latestVersions({ batches, checkpoint, isForced }: PgWriting): readonly Version[] {
  const versions = batches.flatMap((batch) =>
    batch.ids.map((id, index): Version => {
      const sequence = batch.sequences[index] ?? 0;
      return { id, batch, index, sequence, isRemoved: batch.removed[index] === 1 };
    }),
  );
  const above = isForced ? versions : versions.filter(({ sequence }) => sequence > checkpoint);
  // In one batch a record occurs once.
  return batches.length === 1 ? above : withoutEarlier(above);
}

/** Of two versions of one sequence the first stays, but a row rather than its deletion. */
function withoutEarlier(versions: readonly Version[]): readonly Version[] {
  const latest = new Map<string, Version>();
  for (const version of versions) {
    const known = latest.get(version.id);
    const isLater =
      known === undefined ||
      version.sequence > known.sequence ||
      (version.sequence === known.sequence && known.isRemoved);
    if (isLater) latest.set(version.id, version);
  }
  return [...latest.values()];
}

function deletion(
  { table }: WrittenTable,
  removed: readonly Version[],
  { space, isForced }: PgWriting,
): PgFragment {
  const ids = textArray(removed.map(({ id }) => storedText(id)));
  const sequences = bigintArray(removed.map(({ sequence }) => sequence));
  const fence = verbatim(isForced ? "" : "AND stored._sequence < gone.sequence");
  return sql`DELETE FROM ${verbatim(table)} AS stored
    USING unnest(${ids}, ${sequences}) AS gone (id, sequence)
    WHERE stored._space = ${space} AND stored._id = gone.id ${fence}`;
}

/** Rows by column. */
interface RowChunk {
  readonly ids: string[];
  readonly sequences: number[];
  readonly cells: readonly ColumnValue[][];
}

function* rowChunks({ taken }: TableColumns, versions: readonly Version[]): Generator<RowChunk> {
  const empty = (): RowChunk => ({ ids: [], sequences: [], cells: taken.map(() => []) });
  let chunk = empty();
  let bytes = 0;
  for (const { id, batch, index, sequence, isRemoved } of versions) {
    if (isRemoved) continue;
    if (chunk.ids.length === STATEMENT_ROWS_MAX || bytes > STATEMENT_BYTES_MAX) {
      yield chunk;
      chunk = empty();
      bytes = 0;
    }
    bytes += (batch.offsets[index + 1] ?? 0) - (batch.offsets[index] ?? 0);
    const record = batchRecord(batch, index);
    chunk.ids.push(id);
    chunk.sequences.push(sequence);
    for (let at = 0; at < taken.length; at += 1)
      chunk.cells[at]?.push(taken[at]?.take(record) ?? null);
  }
  if (chunk.ids.length > 0) yield chunk;
}

function insertion(
  { table, columns: { taken, held } }: WrittenTable,
  { ids, sequences, cells }: RowChunk,
  { space, isForced, isNew }: PgWriting,
): PgFragment {
  const keepsBeyond = hasStandIns(held);
  const arrays = [
    textArray(ids.map(storedText)),
    bigintArray(sequences),
    ...held.map((column, at) => boundColumn(column, cells[at] ?? [])),
    ...(keepsBeyond ? [textArray(beyondTexts(held, cells))] : []),
  ];
  const elements = [
    ...taken.map(({ type }, at) => arrayElement(type, `c${at}`)),
    ...(keepsBeyond ? ["beyond::json"] : []),
  ];
  const names = ["id", "sequence", ...taken.map((_, at) => `c${at}`)];
  const written = [...held.map(({ sqlName }) => sqlName), ...(keepsBeyond ? [BEYOND] : [])];
  const target = verbatim(
    `${table} AS stored (${["_space", "_id", "_sequence", ...written].join(", ")})`,
  );
  const from = verbatim([...names, ...(keepsBeyond ? ["beyond"] : [])].join(", "));
  const values = verbatim(["id", "sequence", ...elements].join(", "));
  return prepared`INSERT INTO ${target} SELECT ${space}::text, ${values}
    FROM unnest(${commaList(arrays)}) AS new (${from}) ${conflict(written, { isForced, isNew })}`;
}

function conflict(
  written: readonly string[],
  { isForced, isNew }: Pick<PgWriting, "isForced" | "isNew">,
): PgFragment {
  if (isNew) return verbatim("");
  const sets = ["_sequence", ...written].map((name) => `${name} = excluded.${name}`);
  const fence = isForced ? "" : " WHERE excluded._sequence > stored._sequence";
  return verbatim(`ON CONFLICT (_space, _id) DO UPDATE SET ${sets.join(", ")}${fence}`);
}
