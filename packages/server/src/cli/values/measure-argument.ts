import type { AggregateFunction, AggregateQuery } from "@custody/stores/analytics/port";
import type { SeriesFunction } from "@custody/stores/series/port";

import { usageError } from "../command-error.ts";
import { nearest } from "../nearest.ts";
import { parseAssignment } from "./numbers-and-names.ts";
import { parseDuration } from "./time.ts";

const AGGREGATE_FUNCTIONS: readonly AggregateFunction[] = [
  "count",
  "countDistinct",
  "sum",
  "mean",
  "min",
  "max",
  "p50",
  "p90",
  "p95",
  "p99",
];

/** The functions of `series`. */
export const SERIES_FUNCTIONS: readonly SeriesFunction[] = [
  "count",
  "sum",
  "mean",
  "min",
  "max",
  "first",
  "last",
  "p50",
  "p90",
  "p95",
  "p99",
];

/** Reads `n=count` or `name=mean:column`. */
export function parseMeasure(
  text: string,
): readonly [name: string, measure: { readonly fn: AggregateFunction; readonly column?: string }] {
  const [name, expression] = parseAssignment(text);
  const at = expression.indexOf(":");
  const fn = oneOf(at < 0 ? expression : expression.slice(0, at), AGGREGATE_FUNCTIONS, "function");
  const column = at < 0 ? undefined : expression.slice(at + 1);
  if (column === undefined && fn !== "count") {
    throw usageError(`${fn} needs a column`, `write --measure ${name}=${fn}:COLUMN`);
  }
  return [name, column === undefined ? { fn } : { fn, column }];
}

/** Reads a column to group by, `model`, or one cut into buckets of time, `observed_at:1d`. */
export function parseGroup(text: string): AggregateQuery["groupBy"][number] {
  const at = text.lastIndexOf(":");
  if (at <= 0) return text;
  return { column: text.slice(0, at), bucketMs: parseDuration(text.slice(at + 1)) };
}

/** Answers the word when it is one of the known ones. @throws CommandError `usage` naming the nearest. */
export function oneOf<Word extends string>(
  word: string,
  known: readonly Word[],
  noun: string,
): Word {
  const found = known.find((one) => one === word);
  if (found !== undefined) return found;
  const near = nearest(word, known);
  throw usageError(
    `there is no ${noun} ${JSON.stringify(word)}`,
    near === undefined
      ? `known: ${known.join(", ")}`
      : `did you mean ${near}? Known: ${known.join(", ")}`,
  );
}
