import type { DatabaseSync } from "node:sqlite";

import type { RelationalPlacement } from "@custody/contract/placement";

import { quoteName, verbatim } from "../drivers/sqlite-fragment.ts";
import { numberOf, textOf } from "../drivers/sqlite-collections.ts";
import { rangeStart } from "../row-pages.ts";
import type { RowRange, StoredContent } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import { batchRecord } from "../record-batch.ts";
import type { RecordBatch } from "../record-batch.ts";
import { checkNames } from "./column-names.ts";
import { compileTable, rowContent } from "./content.ts";
import { bindColumn, DECLARED_TYPES, readColumn } from "./sqlite-columns.ts";
import type { RelationalTable } from "./sqlite-file.ts";

/** Makes a type's table and its indexes. @throws StoreError `refused` for names SQLite cannot tell apart. */
export function createTable(
  database: DatabaseSync,
  name: string,
  placement: RelationalPlacement,
): void {
  const columns = compileTable(placement);
  checkNames(["_id", "_sequence", ...columns.map((column) => column.name)]);
  const declared = columns.map(
    (column) => `, ${quoteName(column.name)} ${DECLARED_TYPES[column.type]}`,
  );
  const table = quoteName(name);
  database.exec(`CREATE TABLE ${table}
    (_id TEXT NOT NULL UNIQUE, _sequence INTEGER NOT NULL${declared.join("")}) STRICT;
    CREATE INDEX ${quoteName(`${name}_sequence`)} ON ${table} (_sequence)`);
  const indexes = [...(placement.indexes ?? []), ...(placement.unique ?? [])];
  for (const [position, list] of indexes.entries()) {
    const unknown = list.find((column) => !Object.hasOwn(placement.columns, column));
    if (unknown !== undefined) {
      throw new StoreError("refused", `an index names no column: ${JSON.stringify(unknown)}`);
    }
    const index = quoteName(`${name}_index${position}`);
    database.exec(`CREATE INDEX ${index} ON ${table} (${list.map(quoteName).join(", ")})`);
  }
}

/** A type's table, ready to be written and read. */
export function openTable(
  database: DatabaseSync,
  name: string,
  placement: RelationalPlacement,
): RelationalTable {
  const columns = compileTable(placement);
  const table = quoteName(name);
  const places = ", ?".repeat(columns.length);
  const sets = columns.map(({ name: column }) => {
    const quoted = quoteName(column);
    return `, ${quoted} = excluded.${quoted}`;
  });
  const upsert = (condition: string): string => `INSERT INTO ${table} VALUES (?, ?${places})
    ON CONFLICT (_id) DO UPDATE SET _sequence = excluded._sequence${sets.join("")}${condition}`;
  const put = database.prepare(upsert(" WHERE excluded._sequence > _sequence"));
  const replace = database.prepare(upsert(""));
  const remove = database.prepare(`DELETE FROM ${table} WHERE _id = ? AND _sequence < ?`);
  const write = (batch: RecordBatch, { checkpoint, isForced, removed }: TableWriteRules): void => {
    for (const [index, id] of batch.ids.entries()) {
      const sequence = batch.sequences[index] ?? 0;
      if (!isForced && sequence <= checkpoint) continue;
      if (batch.removed[index] === 1) {
        remove.run(id, isForced ? Number.MAX_SAFE_INTEGER : sequence);
        removed.set(id, sequence);
      } else if ((removed.get(id) ?? 0) <= sequence) {
        const record = batchRecord(batch, index);
        const cells = columns.map(({ take }) => bindColumn(take(record)));
        (isForced ? replace : put).run(id, sequence, ...cells);
      }
    }
  };
  const contents = (range?: RowRange): Generator<StoredContent> =>
    tableContents(database, { name, columns }, range);
  return {
    query: {
      from: verbatim(table),
      columns: [
        { name: "_id", type: "text" },
        { name: "_sequence", type: "integer" },
        ...columns.map((column) => ({ name: column.name, type: column.type })),
      ],
      key: "_id",
    },
    apply: (batches, checkpoint) => {
      const removed = new Map<string, number>();
      for (const batch of batches) write(batch, { checkpoint, isForced: false, removed });
    },
    repair: (batch) => write(batch, { checkpoint: 0, isForced: true, removed: new Map() }),
    contents,
    stored: () => [
      {
        from: table,
        number: rowNumber(columns.map((column) => column.name)),
        sequence: "_sequence",
        cells: ["_id", ...columns.map((column) => quoteName(column.name))],
      },
    ],
    count: () => numberOf(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]),
    isMadeOfSeveral: false,
  };
}

/** SQLite's name of a row's number that is no column's (sqlite.org/lang_createtable.html#rowid). */
function rowNumber(columns: readonly string[]): string {
  const taken = new Set(columns.map((name) => name.toLowerCase()));
  const free = ["rowid", "oid", "_rowid_"].find((name) => !taken.has(name));
  if (free === undefined) throw new StoreError("refused", "no name is left for a row's number");
  return free;
}

interface TableWriteRules {
  /** Records at or below are skipped. */
  readonly checkpoint: number;
  /** True to write whatever version is stored. */
  readonly isForced: boolean;
  /** Sequences of what this delivery removed, which an older version must not bring back. */
  readonly removed: Map<string, number>;
}

function* tableContents(
  database: DatabaseSync,
  table: { readonly name: string; readonly columns: ReturnType<typeof compileTable> },
  range: RowRange | undefined,
): Generator<StoredContent> {
  const { name, columns } = table;
  const start = range === undefined ? undefined : rangeStart(range);
  const all = `SELECT * FROM ${quoteName(name)}`;
  const statement = database.prepare(
    range === undefined
      ? all
      : `${all} WHERE _sequence >= ? AND _sequence < ? AND (_sequence > ? OR _id > ?)
         ORDER BY _sequence, _id`,
  );
  statement.setReadBigInts(true);
  const values =
    range === undefined || start === undefined
      ? []
      : [Math.max(range.fromSequence, start.sequence), range.toSequence, start.sequence, start.id];
  for (const row of statement.iterate(...values)) {
    const stored = columns.map((column) => readColumn(column.type, row[column.name]));
    yield {
      id: textOf(row["_id"]),
      sequence: numberOf(row["_sequence"]),
      content: rowContent(columns, stored),
    };
  }
}
