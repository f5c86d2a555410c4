import { StoreError } from "../errors.ts";
import {
  bucketStarts,
  checkRollupCut,
  compareTags,
  filledRows,
  namedRows,
  noRollup,
} from "./bucket-answer.ts";
import type { FilledRow } from "./fill.ts";
import { aggregateBuckets, aggregateScripts } from "./influxdb-aggregate.ts";
import type { AggregateColumn, AggregateRequest, AggregateRow } from "./influxdb-aggregate.ts";
import { INSTANT_MAX, INSTANT_MIN } from "./influxdb-lines.ts";
import { readTexts } from "./influxdb-points.ts";
import type { InfluxdbBucket } from "./influxdb-points.ts";
import { rollupBucket } from "./influxdb-state.ts";
import type { InfluxdbState } from "./influxdb-state.ts";
import { ABSENT, encodedName, encodedTag, isLongTag, MARK, plainText } from "./influxdb-text.ts";
import { requireMeasurement, requireSlot } from "./measurement-layout.ts";
import type { LaidOutMeasurement, SeriesLayout } from "./measurement-layout.ts";
import type { SeriesFunction, SeriesLimits, SeriesQuery, SeriesRow } from "./port.ts";

/** What the engine takes at most. */
export const INFLUXDB_LIMITS: SeriesLimits = {
  bucketsMax: 50_000,
  instantMin: INSTANT_MIN,
  instantMax: INSTANT_MAX,
};

/** The tag that tells rollups of different widths apart. */
export const WIDTH_TAG = "custody_width";

/** How a rollup is listed in its collection's state. */
export function rollupKey(measurement: LaidOutMeasurement, bucketMs: number): string {
  return `${measurement.number}:${bucketMs}`;
}

/** Answers a query. @throws StoreError `refused`, `unsupported`, `limit`. */
export async function queryInfluxdb(
  of: InfluxdbBucket,
  state: InfluxdbState,
  query: SeriesQuery,
): Promise<readonly SeriesRow[]> {
  const { bucketsMax } = INFLUXDB_LIMITS;
  const bucketAts = bucketStarts(query, bucketsMax);
  const plan = planOf(of, state, query);
  if (bucketAts.length === 0) return [];
  const found = await aggregateBuckets(plan.from, plan.request);
  const texts = await longTexts(of, found);
  const rows = found
    .map((row): FilledRow => ({
      bucketAt: row.bucketAt,
      tags: row.tags.map((tag) => tagOf(tag, texts)),
      values: plan.values.map((value) => value(row.values)),
    }))
    .sort((left, right) => left.bucketAt - right.bucketAt || compareTags(left.tags, right.tags));
  const width = plan.values.length;
  return namedRows(filledRows(rows, bucketAts, { ...query, bucketsMax, width }), query);
}

/** The Flux text of a query, a line at a time: version 1.8 tells no plan. @throws as the query. */
export async function explainInfluxdb(
  of: InfluxdbBucket,
  state: InfluxdbState,
  query: SeriesQuery,
): Promise<readonly string[]> {
  bucketStarts(query, INFLUXDB_LIMITS.bucketsMax);
  const { from, request } = planOf(of, state, query);
  const scripts = await aggregateScripts(from, request);
  return scripts.flatMap(({ text }) => text.split("\n"));
}

interface QueryPlan {
  readonly from: InfluxdbBucket;
  readonly request: AggregateRequest;
  /** Makes the query's values of the columns that were computed. */
  readonly values: readonly ((columns: readonly (number | null)[]) => number | null)[];
}

function planOf(of: InfluxdbBucket, state: InfluxdbState, query: SeriesQuery): QueryPlan {
  const layout = JSON.parse(state.layout) as SeriesLayout;
  const measurement = requireMeasurement(layout, query.measurement);
  const { from, to, bucketMs, source = "points", where = {}, groupBy = [] } = query;
  if (from < INSTANT_MIN || to > INSTANT_MAX) {
    throw new StoreError(
      "unsupported",
      "InfluxDB's clock reaches from 1677-09-21 to 2262-04-11: ask for a range within it",
    );
  }
  const tag = (name: string): string => {
    requireSlot(measurement.tags, name, "tag");
    return encodedName(name);
  };
  const asked = Object.values(query.values).map(({ field, fn }) => {
    requireSlot(measurement.fields, field, "field");
    return { field: encodedName(field), fn };
  });
  const conditions = Object.entries(where).map(
    ([name, texts]) => [tag(name), texts.map((text) => encodedTag(text).value)] as const,
  );
  const columns = source === "points" ? pointColumns(asked) : rollupColumns(asked);
  const request = {
    measurement: encodedName(query.measurement),
    from,
    to,
    bucketMs,
    groupBy: groupBy.map(tag),
    columns: columns.columns,
    bucketsMax: INFLUXDB_LIMITS.bucketsMax,
  };
  if (source === "points") {
    return { from: of, request: { ...request, where: conditions }, values: columns.values };
  }
  const { rollupMs } = source;
  if (!state.rollups.includes(rollupKey(measurement, rollupMs))) throw noRollup(rollupMs);
  checkRollupCut(query, rollupMs);
  return {
    from: { ...of, bucket: rollupBucket(of.bucket) },
    request: { ...request, where: [...conditions, [WIDTH_TAG, [String(rollupMs)]]] },
    values: columns.values,
  };
}

type Columns = Pick<QueryPlan, "values"> & { readonly columns: readonly AggregateColumn[] };

function pointColumns(asked: readonly AggregateColumn[]): Columns {
  return {
    columns: [{ field: MARK, fn: "count" }, ...asked],
    values: asked.map((_, index) => (columns) => columns[index + 1] ?? null),
  };
}

function rollupColumns(asked: readonly AggregateColumn[]): Columns {
  const columns: AggregateColumn[] = [{ field: "points", fn: "sum" }];
  const values = asked.map(({ field, fn }) => {
    const parts = rollupParts(fn).map(
      (part) => columns.push({ field: `${part.kept}_${field}`, fn: part.fn }) - 1,
    );
    return (found: readonly (number | null)[]): number | null => {
      const [first = null, second = null] = parts.map((part) => found[part] ?? null);
      if (fn === "count") return first ?? 0;
      if (fn !== "mean") return first;
      return first === null || second === null || second === 0 ? null : first / second;
    };
  });
  return { columns, values };
}

function rollupParts(
  fn: SeriesFunction,
): readonly { readonly kept: string; readonly fn: SeriesFunction }[] {
  switch (fn) {
    case "count":
      return [{ kept: "count", fn: "sum" }];
    case "sum":
      return [{ kept: "sum", fn: "sum" }];
    case "mean":
      return [
        { kept: "sum", fn: "sum" },
        { kept: "count", fn: "sum" },
      ];
    case "min":
    case "max":
      return [{ kept: fn, fn }];
    case "first":
    case "last":
    case "p50":
    case "p90":
    case "p95":
    case "p99":
      throw new StoreError("unsupported", `a rollup does not keep what ${fn} needs`);
  }
  throw new StoreError("refused", `there is no function ${JSON.stringify(fn)}`);
}

async function longTexts(
  of: InfluxdbBucket,
  rows: readonly AggregateRow[],
): Promise<ReadonlyMap<string, string>> {
  const tags = new Set(rows.flatMap((row) => row.tags).filter((tag) => isLongTag(tag)));
  return await readTexts(of, [...tags]);
}

function tagOf(stored: string, texts: ReadonlyMap<string, string>): string | null {
  if (stored === ABSENT) return null;
  return texts.get(stored) ?? (isLongTag(stored) ? stored : plainText(stored));
}
