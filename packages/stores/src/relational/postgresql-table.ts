import type { ColumnType, RelationalPlacement } from "@custody/contract/placement";

import type { PgSession } from "../drivers/postgresql-session.ts";
import { originalText, pgName, prepared, sql, storedText } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import type { RowPosition, StoredContent } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import { checkNames } from "./column-names.ts";
import { compileTable, rowContent } from "./content.ts";
import {
  BEYOND,
  DECLARED_TYPES,
  hasStandIns,
  INDEXED_TEXTS_MAX,
  numberCell,
  pgColumn,
  physicalColumn,
  readColumn,
  selectedColumns,
  storedColumns,
  textCell,
} from "./postgresql-columns.ts";
import { confinedTable } from "../drivers/postgresql-confinement.ts";
import type { PgPlace, PgRange, PgRelation } from "./postgresql-relation.ts";
import { writeRows } from "./postgresql-table-write.ts";
import type { TableColumns } from "./postgresql-table-write.ts";

/** Columns of these types can be in an index; the others are lists and documents. */
const INDEXED_TYPES: readonly ColumnType[] = ["text", "integer", "real", "boolean", "timestamp"];

/**
 * The statements that make a type's table and its indexes, with its rows told apart by space.
 *
 * @throws StoreError `refused` for names that cannot be columns.
 */
export function createTable(place: PgPlace, placement: RelationalPlacement): readonly PgFragment[] {
  const { held, taken } = tableColumns(placement);
  const names = taken.map(({ name }) => name);
  checkNames(["_id", "_sequence", "_space", BEYOND, ...names.map(physicalColumn)]);
  const declared = taken.map(
    ({ type }, index) => `, ${held[index]?.sqlName} ${DECLARED_TYPES[type]}`,
  );
  const beyond = hasStandIns(held) ? `, ${BEYOND} json` : "";
  const table = pgName(place.schema, place.table);
  const indexes = indexLists(placement).map((list) => {
    const columns = list.map((name) => `${pgName(physicalColumn(name))} NULLS FIRST`);
    return `CREATE INDEX ON ${table} (_space, ${columns.join(", ")})`;
  });
  return [
    `CREATE TABLE ${table} (_space text COLLATE "C" NOT NULL, _id text COLLATE "C" NOT NULL,
      _sequence bigint NOT NULL${declared.join("")}${beyond}, PRIMARY KEY (_space, _id))`,
    `CREATE INDEX ON ${table} (_space, _sequence, _id)`,
    ...indexes,
    ...confinedTable(table),
  ].map(verbatim);
}

/** A type's table, ready to be written and read. */
export function openTable(place: PgPlace, placement: RelationalPlacement): PgRelation {
  const columns = tableColumns(placement);
  const table = pgName(place.schema, place.table);
  const key = pgColumn("_id", "text", { isNullable: false });
  const shown = [key, pgColumn("_sequence", "integer", { isNullable: false }), ...columns.held];
  return {
    source: { sqlName: table, columns: shown, key },
    tables: [table],
    isMadeOfSeveral: false,
    write: (session, writing, last) => writeRows(session, { table, columns }, { writing, last }),
    contents: (session, space, range) => tableContents(session, { table, columns, space }, range),
    count: (space) => sql`SELECT count(*) AS count FROM ${verbatim(table)} WHERE _space = ${space}`,
  };
}

function tableColumns(placement: RelationalPlacement): TableColumns {
  const taken = compileTable(placement);
  const indexed = new Set(indexLists(placement).flat());
  const held = taken.map(({ name, type }) => {
    const isIndexedText = type === "text" && indexed.has(name);
    return pgColumn(name, type, { hasStandIns: type === "timestamp" || isIndexedText });
  });
  return { taken, held };
}

/** The indexes that can be made: of columns with plain values, and not more texts than fit. */
function indexLists({ columns, indexes, unique }: RelationalPlacement): readonly string[][] {
  return [...(indexes ?? []), ...(unique ?? [])]
    .map((list) => {
      const unknown = list.find((name) => !Object.hasOwn(columns, name));
      if (unknown !== undefined) {
        throw new StoreError("refused", `an index names no column: ${JSON.stringify(unknown)}`);
      }
      const typeOf = (name: string): ColumnType => columns[name]?.type ?? "json";
      const plain = list.filter((name) => INDEXED_TYPES.includes(typeOf(name)));
      const texts = plain.filter((name) => typeOf(name) === "text").slice(0, INDEXED_TEXTS_MAX);
      return plain.filter((name) => typeOf(name) !== "text" || texts.includes(name));
    })
    .filter((list) => list.length > 0);
}

async function* tableContents(
  session: PgSession,
  of: { readonly table: string; readonly columns: TableColumns; readonly space: string },
  { start, toSequence, rowsMax }: PgRange,
): AsyncGenerator<readonly StoredContent[]> {
  const { held, taken } = of.columns;
  const selected = verbatim(["_id", "_sequence", ...selectedColumns(held)].join(", "));
  let after: RowPosition | undefined = start;
  while (after !== undefined) {
    const rows = await session.rows(prepared`SELECT ${selected} FROM ${verbatim(of.table)}
      WHERE _space = ${of.space} AND (_sequence, _id) > (${after.sequence}, ${storedText(after.id)})
      AND _sequence < ${toSequence} ORDER BY _sequence, _id LIMIT ${rowsMax}`);
    const contents = rows.map((row): StoredContent => {
      const stored = storedColumns(row, held);
      const values = taken.map(({ type }, index) => readColumn(type, stored[index]));
      return {
        id: originalText(textCell(row["_id"])),
        sequence: numberCell(row["_sequence"]),
        content: rowContent(taken, values),
      };
    });
    yield contents;
    after = rows.length < rowsMax ? undefined : contents.at(-1);
  }
}
