import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";

import { parseJson } from "@custody/contract/json";
import type { Measure, SummaryDeclaration } from "@custody/contract/summary";

import { quoteName, verbatim } from "../drivers/sqlite-fragment.ts";
import { numberOf, textOf } from "../drivers/sqlite-collections.ts";
import type { StoredRows } from "../drivers/sqlite-row-blocks.ts";
import { rangeStart } from "../row-pages.ts";
import type { RowRange, StoredContent } from "../row-pages.ts";
import { StoreError } from "../errors.ts";
import { checkNames } from "./column-names.ts";
import { ExactSum } from "./exact-sum.ts";
import type { QueryColumn } from "./sqlite-columns.ts";
import type { RelationalTable } from "./sqlite-file.ts";
import { foldBatch, lackingGroup, madeOfSeveral } from "./summary-delivery.ts";
import { compileSummary, mergeGroup, SummaryFold } from "./summary-fold.ts";
import type { GroupState, MeasureState, SummaryFolding } from "./summary-fold.ts";

/**
 * A summary in SQLite: a table of groups, a table of counted values, and a view over both under the
 * summary's own name. A batch is folded in memory first, so each group is written once a delivery.
 */

interface SummaryNames {
  readonly view: string;
  readonly groups: string;
  readonly counts: string;
}

function namesOf(physicalName: string): SummaryNames {
  return {
    view: physicalName,
    groups: `${physicalName}_groups`,
    counts: `${physicalName}_counts`,
  };
}

/** Makes a summary's tables and view. @throws StoreError `refused` for names SQLite cannot tell apart. */
export function createSummary(
  database: DatabaseSync,
  physicalName: string,
  declaration: SummaryDeclaration,
): void {
  const { keyNames, measureNames } = compileSummary(declaration);
  checkNames(["_key", ...keyNames, ...measureNames]);
  const names = namesOf(physicalName);
  const groups = quoteName(names.groups);
  const keys = keyNames.map((_, index) => `, k${index} TEXT`).join("");
  const measures = measureNames.map((name, index) => measureColumns(declaration, name, index));
  const shown = [
    ...keyNames.map((name, index) => `k${index} AS ${quoteName(name)}`),
    ...measureNames.map((name, index) => {
      const isCounts = columnType(declaration.measures[name]) === "counts";
      return `${isCounts ? countsColumn(names.counts, index) : `m${index}`} AS ${quoteName(name)}`;
    }),
  ];
  database.exec(`CREATE TABLE ${groups} (g INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
      records INTEGER NOT NULL${keys}${measures.join("")}) STRICT;
    CREATE TABLE ${quoteName(names.counts)} (g INTEGER NOT NULL, measure INTEGER NOT NULL,
      value TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (g, measure, value)) STRICT, WITHOUT ROWID;
    CREATE VIEW ${quoteName(names.view)} AS SELECT key AS _key, ${shown.join(", ")} FROM ${groups} AS groups`);
}

/** Removes what a collection's tables may be named, table or summary. */
export function dropRelational(database: DatabaseSync, physicalName: string): void {
  const { groups, counts } = namesOf(physicalName);
  const found = database.prepare("SELECT type FROM sqlite_schema WHERE name = ?").get(physicalName);
  const kind = found?.["type"] === "view" ? "VIEW" : "TABLE";
  database.exec(`DROP ${kind} IF EXISTS ${quoteName(physicalName)};
    DROP TABLE IF EXISTS ${quoteName(groups)}; DROP TABLE IF EXISTS ${quoteName(counts)}`);
}

function measureColumns({ measures }: SummaryDeclaration, name: string, index: number): string {
  const measure = measures[name];
  if (measure === undefined || columnType(measure) === "counts") return "";
  if ("sum" in measure) return `, m${index} REAL, x${index} TEXT`;
  return `, m${index} ${"count" in measure ? "INTEGER" : "REAL"}`;
}

// Counted values are kept as JSON texts: SQLite's own JSON functions end a name at NUL.
function countsColumn(counts: string, index: number): string {
  return `(SELECT '{' || coalesce(group_concat(c.value || ':' || c.count, ',' ORDER BY c.value), '') || '}'
    FROM ${quoteName(counts)} AS c WHERE c.g = groups.g AND c.measure = ${index})`;
}

function columnType(measure: Measure | undefined): QueryColumn["type"] {
  if (measure === undefined || "countBy" in measure || "histogram" in measure) return "counts";
  return "count" in measure ? "integer" : "real";
}

/** A summary, ready to be written and read. */
export function openSummary(
  database: DatabaseSync,
  physicalName: string,
  declaration: SummaryDeclaration,
): RelationalTable {
  const names = namesOf(physicalName);
  const writer = new SummaryWriter(database, names, declaration);
  const { folding } = writer;
  return {
    query: {
      from: verbatim(quoteName(names.view)),
      columns: [
        ...folding.keyNames.map((name): QueryColumn => ({ name, type: "text" })),
        ...folding.measureNames.map((name): QueryColumn => ({
          name,
          type: columnType(declaration.measures[name]),
        })),
      ],
      key: "_key",
    },
    apply: (batches, checkpoint) => {
      const fold = new SummaryFold(declaration);
      for (const batch of batches) foldBatch(fold, batch, checkpoint);
      for (const delta of fold.groups()) writer.merge(delta);
    },
    repair: () => {
      throw madeOfSeveral();
    },
    contents: (range) => writer.contents(range),
    count: () => writer.count(),
    stored: () => writer.stored,
    isMadeOfSeveral: true,
  };
}

/** Reads and writes the groups of one summary. */
class SummaryWriter {
  readonly folding: SummaryFolding;
  readonly stored: readonly StoredRows[];
  readonly #measures: readonly (Measure | undefined)[];
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  readonly #deleteCounts: StatementSync;
  readonly #addCount: StatementSync;
  readonly #dropZero: StatementSync;
  readonly #counts: StatementSync;
  readonly #all: StatementSync;
  readonly #count: StatementSync;

  constructor(database: DatabaseSync, names: SummaryNames, declaration: SummaryDeclaration) {
    this.folding = compileSummary(declaration);
    this.#measures = this.folding.measureNames.map((name) => declaration.measures[name]);
    const groups = quoteName(names.groups);
    const counts = quoteName(names.counts);
    const cells = this.#measures.flatMap((measure, index) => cellNames(measure, index));
    const keys = this.folding.keyNames.map((_, index) => `k${index}`);
    const columns = ["key", "records", ...keys, ...cells];
    this.stored = [
      { from: groups, number: "g", sequence: "0", cells: columns },
      { from: counts, number: "g", sequence: "0", cells: ["measure", "value", "count"] },
    ];
    this.#find = database.prepare(`SELECT * FROM ${groups} WHERE key = ?`);
    this.#put = database.prepare(
      `INSERT INTO ${groups} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
    );
    this.#update = database.prepare(
      `UPDATE ${groups} SET ${["records", ...cells].map((name) => `${name} = ?`).join(", ")} WHERE g = ?`,
    );
    this.#delete = database.prepare(`DELETE FROM ${groups} WHERE g = ?`);
    this.#deleteCounts = database.prepare(`DELETE FROM ${counts} WHERE g = ?`);
    this.#addCount = database.prepare(`INSERT INTO ${counts} VALUES (?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET count = count + excluded.count`);
    this.#dropZero = database.prepare(
      `DELETE FROM ${counts} WHERE g = ? AND measure = ? AND value = ? AND count = 0`,
    );
    this.#counts = database.prepare(`SELECT measure, value, count FROM ${counts} WHERE g = ?`);
    this.#all = database.prepare(`SELECT * FROM ${groups} WHERE key > ? ORDER BY key`);
    this.#count = database.prepare(`SELECT count(*) AS n FROM ${groups}`);
  }

  /** Adds what a delivery changes in a group; a group left without records disappears. */
  merge(delta: GroupState): void {
    const name = this.folding.name(delta);
    const row = this.#find.get(name);
    if (row === undefined) {
      if (delta.records === 0) return;
      if (delta.records < 0) throw lackingGroup();
      const { lastInsertRowid } = this.#put.run(
        name,
        delta.records,
        ...delta.key,
        ...cellsOf(delta),
      );
      this.#mergeCounts(Number(lastInsertRowid), delta);
      return;
    }
    const g = numberOf(row["g"]);
    const group = this.#scalars(row);
    mergeGroup(group, { ...delta, measures: delta.measures.map(withoutCounts) });
    if (group.records < 0) throw lackingGroup();
    if (group.records === 0) {
      this.#delete.run(g);
      this.#deleteCounts.run(g);
      return;
    }
    this.#update.run(group.records, ...cellsOf(group), g);
    this.#mergeCounts(g, delta);
  }

  *contents(range?: RowRange): Generator<StoredContent> {
    const start = range === undefined ? undefined : rangeStart(range);
    if (range !== undefined && (range.fromSequence > 0 || range.toSequence <= 0)) return;
    for (const row of this.#all.iterate(start?.id ?? "")) {
      const group = this.#scalars(row);
      for (const count of this.#counts.iterate(numberOf(row["g"]))) {
        const state = group.measures[numberOf(count["measure"])];
        if (state?.kind === "counts") {
          state.counts.set(countedValue(count["value"]), numberOf(count["count"]));
        }
      }
      const content = this.folding.content(group);
      const isShown = group.measures.every((state, index) => showsSum(state, row[`m${index}`]));
      yield {
        id: textOf(row["key"]),
        sequence: 0,
        content: isShown ? content : `${content} altered`,
      };
    }
  }

  count(): number {
    return numberOf(this.#count.get()?.["n"]);
  }

  #mergeCounts(g: number, delta: GroupState): void {
    for (const [measure, state] of delta.measures.entries()) {
      if (state.kind !== "counts") continue;
      for (const [value, count] of state.counts) {
        const text = JSON.stringify(value);
        this.#addCount.run(g, measure, text, count);
        if (count < 0) this.#dropZero.run(g, measure, text);
      }
    }
  }

  /** A group from its row, its counted values left out. */
  #scalars(row: Record<string, SQLOutputValue>): GroupState {
    const key = this.folding.keyNames.map((_, index) => {
      const cell = row[`k${index}`];
      return cell === null ? null : textOf(cell);
    });
    const group = this.folding.empty(key);
    group.records = numberOf(row["records"]);
    for (const [index, state] of group.measures.entries()) readState(state, row, index);
    return group;
  }
}

/** Whether the number that queries see is that of the exact sum beside it. */
function showsSum(state: MeasureState, cell: SQLOutputValue | undefined): boolean {
  return state.kind !== "sum" || numberOf(cell) === state.sum.toNumber();
}

function countedValue(cell: SQLOutputValue | undefined): string {
  const value = parseJson(textOf(cell));
  if (typeof value === "string") return value;
  throw new StoreError("corrupt", "a summary counts what is no text");
}

function cellNames(measure: Measure | undefined, index: number): readonly string[] {
  if (columnType(measure) === "counts") return [];
  return measure !== undefined && "sum" in measure ? [`m${index}`, `x${index}`] : [`m${index}`];
}

function cellsOf(group: GroupState): SQLInputValue[] {
  return group.measures.flatMap((state): SQLInputValue[] => {
    if (state.kind === "counts") return [];
    if (state.kind === "sum") return [state.sum.toNumber(), state.sum.toText()];
    return [state.kind === "count" ? state.count : (state.value ?? null)];
  });
}

function readState(state: MeasureState, row: Record<string, SQLOutputValue>, index: number): void {
  const cell = row[`m${index}`];
  if (state.kind === "count") state.count = numberOf(cell);
  else if (state.kind === "extreme") state.value = cell === null ? undefined : numberOf(cell);
  else if (state.kind === "sum") state.sum.addSum(ExactSum.parse(textOf(row[`x${index}`])));
}

const NO_COUNTS: MeasureState = { kind: "counts", counts: new Map() };

function withoutCounts(state: MeasureState): MeasureState {
  return state.kind === "counts" ? NO_COUNTS : state;
}
