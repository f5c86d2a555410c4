import { documentRows, openRawDocuments } from "./document.ts";
import { analyticsRows, openRawAnalytics, openRawSeries, seriesRows } from "./duckdb.ts";
import { openRawGraph } from "./graph.ts";
import { openRawLog } from "./log.ts";
import { graphRows } from "./pending-graph.ts";
import type { RawBatch, RawOptions, RawStore } from "./raw-store.ts";
import { openRawSummaries, summaryRows } from "./relational.ts";
import { openRawSearch, searchRows } from "./search.ts";

/** A kind of raw store: what it takes of a batch, as data that can be posted, and how it is opened. */
export interface RawPlacement {
  readonly rows: (batch: RawBatch) => unknown;
  readonly open: (options: RawOptions) => Promise<RawStore<unknown>>;
}

/** The roles that Custody projects into, and the log in the journal's place. */
export type RawStoreName =
  | "log"
  | "document"
  | "search"
  | "relational"
  | "analytics"
  | "series"
  | "graph";

/** How each raw store is filled. */
export const RAW_STORES: Readonly<Record<RawStoreName, RawPlacement>> = {
  log: placement(({ bytes }) => bytes, openRawLog),
  document: placement(documentRows, openRawDocuments),
  search: placement(searchRows, openRawSearch),
  relational: placement(summaryRows, openRawSummaries),
  analytics: placement(analyticsRows, openRawAnalytics),
  series: placement(seriesRows, openRawSeries),
  graph: placement(graphRows, openRawGraph),
};

/** The stores of each thread: of the layouts tried, the fastest. The main thread reads, parses and logs. */
export const RAW_THREADS: readonly (readonly RawStoreName[])[] = [
  ["search"],
  ["document", "relational"],
  ["analytics", "series", "graph"],
];

function placement<Rows>(
  rows: (batch: RawBatch) => Rows,
  open: (options: RawOptions) => RawStore<Rows> | Promise<RawStore<Rows>>,
): RawPlacement {
  return {
    rows,
    // A store gets only the rows that its own placement made.
    open: async (options) => (await open(options)) as RawStore<unknown>,
  };
}
