import { graphRows } from "../baseline/pending-graph.ts";
import type { RawBatch, RawStore } from "../baseline/raw-store.ts";
import type { ProjectedTarget } from "../run-request.ts";
import { columnRows, openRawClickhouse } from "./clickhouse.ts";
import { openRawInfluxdb, pointLines } from "./influxdb.ts";
import { documentLines, openRawMongodb } from "./mongodb.ts";
import { openRawNeo4j } from "./neo4j.ts";
import { openRawOpensearch, searchRows } from "./opensearch.ts";
import { openRawSeries, openRawSummaries, pointColumns, summaryRows } from "./postgresql.ts";
import type { RawServerPlacement } from "./raw-server.ts";

/** How each raw store on a server is filled. */
export const SERVER_STORES: Readonly<Record<ProjectedTarget, RawServerPlacement>> = {
  document: placement(documentLines, openRawMongodb),
  search: placement(searchRows, openRawOpensearch),
  relational: placement(summaryRows, openRawSummaries),
  analytics: placement(columnRows, openRawClickhouse),
  series: placement(pointColumns, openRawSeries),
  "series-influxdb": placement(pointLines, openRawInfluxdb),
  graph: placement(graphRows, openRawNeo4j),
};

// Those that share a thread in Custody.
const THREADS: readonly (readonly ProjectedTarget[])[] = [
  ["search"],
  ["document", "relational"],
  ["analytics", "series", "series-influxdb", "graph"],
];

/** The stores of each thread, of those that are wanted. */
export function threadsOf(targets: readonly string[]): readonly (readonly ProjectedTarget[])[] {
  return THREADS.map((names) => names.filter((name) => targets.includes(name))).filter(
    ({ length }) => length > 0,
  );
}

function placement<Rows>(
  rows: (batch: RawBatch) => Rows,
  open: (url: string) => Promise<RawStore<Rows>>,
): RawServerPlacement {
  return {
    rows,
    // A store gets only the rows that its own placement made.
    open: async (url) => (await open(url)) as RawStore<unknown>,
  };
}
