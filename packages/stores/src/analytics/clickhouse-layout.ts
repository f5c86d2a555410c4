import { createHash } from "node:crypto";

import type { AnalyticsPlacement, AnalyticsTotals, ColumnType } from "@custody/contract/placement";

import { quoteClickhouseName, textLiteral } from "../drivers/clickhouse-text.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { checkedTotals, compileColumns } from "./content.ts";
import type { AnalyticsColumn } from "./content.ts";

/** A column as it is stored. */
export interface StoredColumn {
  readonly name: string;
  readonly type: ColumnType;
}

/** How a collection is stored and shown. */
export interface StoredMapping {
  readonly columns: readonly StoredColumn[];
  readonly totals?: AnalyticsTotals;
}

/** Where the rows of a mapping lie: one table for all tenants and generations that share it. */
export interface RowTable extends StoredMapping {
  /** The table's name within the pack's database. */
  readonly tableName: string;
  /** Database and table, quoted. */
  readonly sqlName: string;
}

/** The names that an installation has on a server. */
export class ClickhouseLayout {
  readonly #prefix: string;

  /** @param prefix the path of the URL. @throws StoreError `refused`. */
  constructor(prefix: string) {
    // Without `_` in it no installation's databases can be named like another's.
    if (!/^[A-Za-z][A-Za-z0-9-]{0,40}$/.test(prefix)) {
      throw new StoreError(
        "refused",
        `the path of ClickHouse's URL, ${JSON.stringify(prefix)}, is no prefix for databases: a letter, then letters, digits and hyphens`,
      );
    }
    this.#prefix = prefix;
  }

  /** The database of what the store itself keeps, quoted. */
  get database(): string {
    return quoteClickhouseName(this.#prefix);
  }

  /** The table that lists collections, quoted. */
  get collections(): string {
    return `${this.database}.collections`;
  }

  /** The database of a pack, unquoted. */
  packDatabase(collectionName: string): string {
    return `${this.#prefix}_${splitName(collectionName).pack}`;
  }

  /** The view that bears the type's own name, for people and their tools. */
  view(collectionName: string): string {
    return `${quoteClickhouseName(this.packDatabase(collectionName))}.${quoteClickhouseName(splitName(collectionName).type)}`;
  }

  rowTable(collectionName: string, mapping: StoredMapping): RowTable {
    const fingerprint = createHash("sha256")
      .update(mappingText(mapping))
      .digest("hex")
      .slice(0, 10);
    const tableName = `${splitName(collectionName).type}~${fingerprint}`;
    const database = quoteClickhouseName(this.packDatabase(collectionName));
    return { ...mapping, tableName, sqlName: `${database}.${quoteClickhouseName(tableName)}` };
  }
}

/** The name as SQL shows it: `pack.type`. */
export function splitName(collectionName: string): {
  readonly pack: string;
  readonly type: string;
} {
  const cut = collectionName.indexOf("/");
  return cut < 0
    ? { pack: "main", type: collectionName }
    : { pack: collectionName.slice(0, cut), type: collectionName.slice(cut + 1) };
}

/** The columns that a tenant's SQL sees besides those of its type. */
export const OWN_COLUMNS: readonly StoredColumn[] = [
  { name: "_id", type: "text" },
  { name: "_sequence", type: "integer" },
  { name: "_observed_at", type: "timestamp" },
];

const HIDDEN = /^_custody_/;

/** A collection's mapping, as it is stored. @throws StoreError `refused` for a column that cannot be. */
export function storedMapping(collection: Collection<AnalyticsPlacement>): StoredMapping {
  const columns = columnsOf(collection).map(({ name, type }) => ({ name, type }));
  const taken = new Set(OWN_COLUMNS.map(({ name }) => name));
  for (const { name } of columns) {
    if (taken.has(name) || name === "" || name.includes("\0") || HIDDEN.test(name)) {
      throw new StoreError(
        "refused",
        `ClickHouse cannot have the column ${JSON.stringify(name)} here`,
      );
    }
  }
  const [placement] = Object.values(collection.placements);
  const totals = placement === undefined ? undefined : checkedTotals(placement);
  return { columns, ...(totals === undefined ? {} : { totals }) };
}

const compiled = new WeakMap<AnalyticsPlacement, readonly AnalyticsColumn[]>();

/** The compiled columns of a collection's only type. */
export function columnsOf(collection: Collection<AnalyticsPlacement>): readonly AnalyticsColumn[] {
  const [placement, ...more] = Object.values(collection.placements);
  if (placement === undefined || more.length > 0) {
    throw new StoreError(
      "unsupported",
      `${collection.name}: an analytics table holds exactly one type`,
    );
  }
  const columns = compiled.get(placement) ?? compileColumns(placement);
  compiled.set(placement, columns);
  return columns;
}

/** A mapping as the catalogue keeps it. */
export function mappingText({ columns, totals }: StoredMapping): string {
  const named = columns.map(({ name, type }) => [name, type]);
  return JSON.stringify(totals === undefined ? { columns: named } : { columns: named, totals });
}

/** Reads what {@link mappingText} wrote. */
export function parseMapping(text: string): StoredMapping {
  const { columns, ...rest } = JSON.parse(text) as {
    columns: [string, ColumnType][];
    totals?: AnalyticsTotals;
  };
  return { ...rest, columns: columns.map(([name, type]) => ({ name, type })) };
}

/**
 * A column's stored name, quoted: its own, but for a dot, which in the name of a list would make it part of
 * a Nested structure, whose lists must be of one length (clickhouse.com/docs/sql-reference/data-types/nested-data-structures).
 */
export function storedName(name: string): string {
  if (!name.includes(".")) return quoteClickhouseName(name);
  const escaped = name.replaceAll("%", "%25").replaceAll(".", "%2E");
  return quoteClickhouseName(`_custody_column_${escaped}`);
}

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  text: "Nullable(String)",
  json: "Nullable(String)",
  integer: "Nullable(Int64)",
  real: "Nullable(Float64)",
  boolean: "Nullable(Bool)",
  timestamp: "Nullable(DateTime64(3, 'UTC'))",
  "text[]": "Array(String)",
  vector: "Array(Float32)",
};

/** True where values are lists, which ClickHouse cannot have null. */
export function isList(type: ColumnType): boolean {
  return type === "text[]" || type === "vector";
}

/** The statement that makes a table of rows. */
export function createRowTable({ sqlName, columns }: RowTable): string {
  const own = columns.map(({ name, type }) => `${storedName(name)} ${SQL_TYPES[type]}`);
  const times = columns.flatMap(({ name, type }, index) =>
    type === "timestamp"
      ? [`INDEX time_${index} ${storedName(name)} TYPE minmax GRANULARITY 4`]
      : [],
  );
  // Ids begin with the day, so that rows lie about in order of time and ranges of it can be skipped.
  return `CREATE TABLE IF NOT EXISTS ${sqlName} (
    _custody_space String, _custody_build UInt64, _id String, _custody_version UInt64,
    _custody_deleted UInt8, _sequence Int64, _observed_at ${SQL_TYPES.timestamp},
    _custody_absent Array(UInt16), ${[
      ...own,
      "INDEX sequence _sequence TYPE minmax GRANULARITY 4",
      "INDEX observed _observed_at TYPE minmax GRANULARITY 4",
      ...times,
    ].join(", ")})
    ENGINE = ReplacingMergeTree(_custody_version, _custody_deleted)
    PARTITION BY (_custody_space, _custody_build)
    ORDER BY (_custody_space, _custody_build, _id)`;
}

/** The columns of a row, in the order in which they are written. */
export function insertStatement({ sqlName, columns }: RowTable): string {
  const names = columns.map(({ name }) => storedName(name));
  return `INSERT INTO ${sqlName} (${[
    "_custody_space, _custody_build, _id, _custody_version, _custody_deleted, _sequence",
    "_observed_at, _custody_absent",
    ...names,
  ].join(", ")}) FORMAT RowBinary`;
}

/** How the columns that a query sees are made of those that are stored. */
export interface ShownRows {
  /** Each with its name. */
  readonly columns: readonly { readonly name: string; readonly sql: string }[];
  /** `GROUP BY …`, or nothing. */
  readonly grouping: string;
}

/** The rows that SQL sees of a table, under the names of the type. */
export function shownRows({ columns, totals }: RowTable): ShownRows {
  if (totals === undefined) {
    const all = columns.map(({ name }) => ({ name, sql: storedName(name) }));
    const own = OWN_COLUMNS.map(({ name }) => ({ name, sql: name }));
    return { columns: [...all, ...own], grouping: "" };
  }
  const shown = columns.map(({ name }) => {
    const sql = storedName(name);
    if (totals.by.includes(name)) return { name, sql };
    if (totals.sum.includes(name)) return { name, sql: `sum(${sql})` };
    // In a tuple, as what is null would otherwise be passed over for an older value.
    return { name, sql: `argMax(tuple(${sql}), (_sequence, _id)).1` };
  });
  return { columns: shown, grouping: `GROUP BY ${totals.by.map(storedName).join(", ")}` };
}

/** A part of a table: what one space holds of one build. */
export interface Build {
  readonly space: string;
  readonly build: number;
}

/** The condition that confines a statement to a build. */
export function ofBuild({ space, build }: Build): string {
  return `_custody_space = ${textLiteral(space)} AND _custody_build = ${build}`;
}
