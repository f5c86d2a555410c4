import type { Measure, SummaryDeclaration } from "@custody/contract/summary";

import { pgName, sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { checkNames } from "./column-names.ts";
import { pgColumn, physicalColumn } from "./postgresql-columns.ts";
import type { PgColumn, PgColumnType } from "./postgresql-columns.ts";
import { confinedTable } from "../drivers/postgresql-confinement.ts";
import type { PgPlace, PgRelation } from "./postgresql-relation.ts";
import { summaryContents } from "./postgresql-summary-read.ts";
import { SummaryWriter } from "./postgresql-summary-write.ts";
import type { SummaryTables } from "./postgresql-summary-write.ts";
import { foldBatch, madeOfSeveral } from "./summary-delivery.ts";
import { compileSummary, SummaryFold } from "./summary-fold.ts";

/** The names of a summary's relations in its schema. */
export function summaryNames(view: string): { readonly groups: string; readonly counts: string } {
  return { groups: `${view}_groups`, counts: `${view}_counts` };
}

/**
 * The statements that make a summary's tables and view.
 *
 * @throws StoreError `refused` for names that cannot be columns.
 */
export function createSummary(
  place: PgPlace,
  declaration: SummaryDeclaration,
): readonly PgFragment[] {
  const { keyNames, measureNames } = compileSummary(declaration);
  checkNames(["_key", "_space", ...[...keyNames, ...measureNames].map(physicalColumn)]);
  const { view, groups, counts } = tablesOf(place);
  const keys = keyNames.map((_, index) => `, k${index} text COLLATE "C"`).join("");
  const measures = measureNames.map((name, index) =>
    measureColumns(declaration.measures[name], index),
  );
  const shown = [
    ...keyNames.map((name, index) => `k${index} AS ${pgName(physicalColumn(name))}`),
    ...measureNames.map((name, index) => {
      const isCounts = measureType(declaration.measures[name]) === "counts";
      const expression = isCounts ? countsColumn(counts, index) : `m${index}`;
      return `${expression} AS ${pgName(physicalColumn(name))}`;
    }),
  ];
  return [
    `CREATE TABLE ${groups} (_space text COLLATE "C" NOT NULL, _group bytea NOT NULL,
      _key text COLLATE "C" NOT NULL, records bigint NOT NULL${keys}${measures.join("")},
      PRIMARY KEY (_space, _group))`,
    `CREATE TABLE ${counts} (_space text COLLATE "C" NOT NULL, _group bytea NOT NULL,
      measure bigint NOT NULL, _value bytea NOT NULL, value text COLLATE "C" NOT NULL,
      count bigint NOT NULL, PRIMARY KEY (_space, _group, measure, _value))`,
    ...confinedTable(groups),
    ...confinedTable(counts),
    // As the one who asks, so that row-level security binds whoever looks through the view.
    `CREATE VIEW ${view} WITH (security_invoker = true) AS
      SELECT _space, _key, ${shown.join(", ")} FROM ${groups} AS groups`,
  ].map(verbatim);
}

/** A summary, ready to be written and read. */
export function openSummary(place: PgPlace, declaration: SummaryDeclaration): PgRelation {
  const tables = tablesOf(place);
  const folding = compileSummary(declaration);
  const measures = folding.measureNames.map((name) => declaration.measures[name]);
  const writer = new SummaryWriter(tables, folding, measures);
  const columns = [
    ...folding.keyNames.map((name): PgColumn => pgColumn(name, "text")),
    ...folding.measureNames.map((name, index): PgColumn =>
      pgColumn(name, measureType(measures[index])),
    ),
  ];
  return {
    source: {
      sqlName: tables.view,
      columns,
      key: pgColumn("_key", "text", { isNullable: false }),
    },
    tables: [tables.groups, tables.counts],
    isMadeOfSeveral: true,
    write: async (session, { space, batches, checkpoint, isForced }, last) => {
      if (isForced) throw madeOfSeveral();
      const fold = new SummaryFold(declaration);
      for (const batch of batches) foldBatch(fold, batch, checkpoint);
      await writer.merge(session, space, fold.groups());
      await session.runAll(last);
    },
    contents: (session, space, range) =>
      summaryContents(session, { tables, folding, space }, range),
    count: (space) =>
      sql`SELECT count(*) AS count FROM ${verbatim(tables.groups)} WHERE _space = ${space}`,
  };
}

function tablesOf({ schema, table }: PgPlace): SummaryTables {
  const { groups, counts } = summaryNames(table);
  return {
    view: pgName(schema, table),
    groups: pgName(schema, groups),
    counts: pgName(schema, counts),
  };
}

function measureColumns(measure: Measure | undefined, index: number): string {
  if (measure === undefined || measureType(measure) === "counts") return "";
  // A sum's exact form is kept beside the nearest double that queries see.
  if ("sum" in measure) return `, m${index} double precision, x${index} text`;
  return `, m${index} ${"count" in measure ? "bigint" : "double precision"}`;
}

// Counted values are kept as JSON texts, so their object can be put together as text.
function countsColumn(counts: string, index: number): string {
  return `coalesce((SELECT ('{' || string_agg(c.value || ':' || c.count, ',' ORDER BY c.value) || '}')::json
    FROM ${counts} AS c WHERE c._space = groups._space AND c._group = groups._group
    AND c.measure = ${index}), '{}'::json)`;
}

function measureType(measure: Measure | undefined): PgColumnType {
  if (measure === undefined || "countBy" in measure || "histogram" in measure) return "counts";
  return "count" in measure ? "integer" : "real";
}
