import { parseJson } from "@custody/contract/json";

import type { PgSession } from "../drivers/postgresql-session.ts";
import { bytesArray, sql } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import type { StoredContent } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import { numberCell, textCell } from "./postgresql-columns.ts";
import type { PgRange } from "./postgresql-relation.ts";
import { groupOf, showsSums } from "./postgresql-summary-cells.ts";
import type { SummaryTables } from "./postgresql-summary-write.ts";
import type { GroupState, SummaryFolding } from "./summary-fold.ts";

/** The content of a space's groups in order of their keys; all of them have sequence 0. */
export async function* summaryContents(
  session: PgSession,
  of: {
    readonly tables: SummaryTables;
    readonly folding: SummaryFolding;
    readonly space: string;
  },
  { start, toSequence, rowsMax }: PgRange,
): AsyncGenerator<readonly StoredContent[]> {
  if (start.sequence > 0 || toSequence <= 0) return;
  const { tables, folding, space } = of;
  // Sorted once for all pages: keys may be longer than an index takes.
  await session.run(sql`DECLARE summary_groups NO SCROLL CURSOR FOR
    SELECT * FROM ${verbatim(tables.groups)} WHERE _space = ${space} AND _key > ${start.id}
    ORDER BY _key`);
  const fetch = verbatim(`FETCH ${rowsMax} FROM summary_groups`);
  let rows: readonly PgRow[];
  do {
    rows = await session.rows(fetch);
    const groups = rows.map((row) => groupOf(folding, row));
    await addCounts(session, of, { rows, groups });
    yield rows.map((row, index) => contentOf(folding, row, groups[index]));
  } while (rows.length === rowsMax);
  await session.run(verbatim("CLOSE summary_groups"));
}

function contentOf(
  folding: SummaryFolding,
  row: PgRow,
  group: GroupState | undefined,
): StoredContent {
  const content = group === undefined ? "" : folding.content(group);
  const isShown = group !== undefined && showsSums(group, row);
  return {
    id: textCell(row["_key"]),
    sequence: 0,
    content: isShown ? content : `${content} altered`,
  };
}

async function addCounts(
  session: PgSession,
  { tables, space }: { readonly tables: SummaryTables; readonly space: string },
  { rows, groups }: { readonly rows: readonly PgRow[]; readonly groups: readonly GroupState[] },
): Promise<void> {
  const byHash = new Map(rows.map((row, index) => [hashText(row), groups[index]]));
  const hashes = rows.flatMap(({ _group }) => (_group instanceof Uint8Array ? [_group] : []));
  const counts = await session.rows(sql`SELECT _group, measure, value, count
    FROM ${verbatim(tables.counts)} WHERE _space = ${space} AND _group = ANY(${bytesArray(hashes)})`);
  for (const count of counts) {
    const state = byHash.get(hashText(count))?.measures[numberCell(count["measure"])];
    if (state?.kind !== "counts") continue;
    state.counts.set(countedValue(count["value"]), numberCell(count["count"]));
  }
}

function hashText({ _group: hash }: PgRow): string {
  return hash instanceof Uint8Array ? Buffer.from(hash).toString("hex") : "";
}

function countedValue(cell: unknown): string {
  const value = parseJson(textCell(cell));
  if (typeof value === "string") return value;
  throw new StoreError("corrupt", "a summary counts what is no text");
}
