import { canonicalJson } from "@custody/contract/json";
import { compilePath } from "@custody/contract/field-path";
import type { SeriesPlacement } from "@custody/contract/placement";
import { asInstantMs, asNumber, asText, compileValue } from "@custody/contract/value-expression";
import type { TakeValue } from "@custody/contract/value-expression";

import { storedInstant } from "../analytics/content.ts";
import type { JournalRecord } from "../analytics/content.ts";
import type { ContentRow } from "../content-form.ts";
import type { SeriesPlacements } from "./port.ts";

/** A point as every engine stores it. */
export interface SeriesPoint {
  readonly measurement: string;
  /** Whole epoch milliseconds. */
  readonly at: number;
  /** Tag values by name; absent ones are left out. */
  readonly tags: ReadonlyMap<string, string>;
  /** Numbers by name; absent ones are left out, and there is at least one. */
  readonly fields: ReadonlyMap<string, number>;
}

/** Compiles placements to a function that lists a record's points, in order of the placements. */
export function compileSeriesPoints(
  placements: SeriesPlacements,
): (record: JournalRecord) => readonly SeriesPoint[] {
  const compiled = placements.map(compilePlacement);
  return (record) => {
    const points: SeriesPoint[] = [];
    for (const point of compiled) {
      const made = point(record);
      if (made !== undefined) points.push(made);
    }
    return points;
  };
}

/** The content form of a record in a series store; `undefined` for a record without points. */
export function compileSeriesContent(
  placements: SeriesPlacements,
): (record: JournalRecord) => ContentRow | undefined {
  const points = compileSeriesPoints(placements);
  return (record) => {
    const made = points(record);
    return made.length === 0 ? undefined : { id: record.id, content: seriesContent(made) };
  };
}

/** The content of a record's points, in order. */
export function seriesContent(points: readonly SeriesPoint[]): string {
  return canonicalJson(
    points.map(({ measurement, at, tags, fields }) => [
      measurement,
      at,
      Object.fromEntries(tags),
      Object.fromEntries(fields),
    ]),
  );
}

function compilePlacement(
  placement: SeriesPlacement,
): (record: JournalRecord) => SeriesPoint | undefined {
  const { measurement } = placement;
  const tags = compileAll(placement.tags);
  const fields = compileAll(placement.fields);
  const at = placement.at === undefined ? undefined : compilePath(placement.at);
  return (record) => {
    const instant =
      at === undefined ? record.observedAt : (asInstantMs(at(record.fields)[0]) ?? Number.NaN);
    const ms = storedInstant(instant);
    if (ms === null) return undefined;
    const numbers = new Map<string, number>();
    for (const [name, take] of fields) {
      const number = asNumber(take(record.fields));
      if (number !== undefined) numbers.set(name, number);
    }
    if (numbers.size === 0) return undefined;
    return { measurement, at: ms, tags: takeTags(tags, record.fields), fields: numbers };
  };
}

type Takes = readonly (readonly [string, TakeValue])[];

function compileAll(expressions: SeriesPlacement["tags"]): Takes {
  return Object.entries(expressions).map(([name, expression]) => [name, compileValue(expression)]);
}

function takeTags(tags: Takes, fields: unknown): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [name, take] of tags) {
    const value = take(fields);
    if (value !== undefined && value !== null) texts.set(name, asText(value).toWellFormed());
  }
  return texts;
}
