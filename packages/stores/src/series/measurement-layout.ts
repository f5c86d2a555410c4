import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { SeriesPlacements } from "./port.ts";

/**
 * The tags and fields of each measurement, by number: in a table the first tag of every measurement
 * stands in `tag_0`, and so on, so that no name of a placement ever becomes a name in SQL.
 */
export interface SeriesLayout {
  readonly measurements: readonly {
    readonly name: string;
    readonly tags: readonly string[];
    readonly fields: readonly string[];
  }[];
}

/** A measurement with its number in the layout. */
export type LaidOutMeasurement = SeriesLayout["measurements"][number] & { readonly number: number };

/** The placements of a collection's one type. @throws StoreError `unsupported` for several types. */
export function onlyPlacements({
  name,
  placements,
}: Collection<SeriesPlacements>): SeriesPlacements {
  const [placement, ...more] = Object.values(placements);
  if (placement !== undefined && more.length === 0) return placement;
  throw new StoreError("unsupported", `${name}: a series collection holds exactly one type`);
}

/** Lays out placements; those of one measurement share its columns. */
export function seriesLayout(placements: SeriesPlacements): SeriesLayout {
  const measurements = new Map<string, { tags: Set<string>; fields: Set<string> }>();
  for (const { measurement, tags, fields } of placements) {
    const entry = measurements.get(measurement) ?? { tags: new Set(), fields: new Set() };
    measurements.set(measurement, entry);
    for (const name of Object.keys(tags)) entry.tags.add(name);
    for (const name of Object.keys(fields)) entry.fields.add(name);
  }
  return {
    measurements: [...measurements].map(([name, { tags, fields }]) => ({
      name,
      tags: [...tags].sort(),
      fields: [...fields].sort(),
    })),
  };
}

/** How many tag and field columns the layout needs. */
export function layoutWidth({ measurements }: SeriesLayout): { tags: number; fields: number } {
  return {
    tags: Math.max(0, ...measurements.map(({ tags }) => tags.length)),
    fields: Math.max(0, ...measurements.map(({ fields }) => fields.length)),
  };
}

/** Finds a measurement. @throws StoreError `refused` when there is none of that name. */
export function requireMeasurement(layout: SeriesLayout, name: string): LaidOutMeasurement {
  const number = layout.measurements.findIndex((measurement) => measurement.name === name);
  const measurement = layout.measurements[number];
  if (measurement !== undefined) return { ...measurement, number };
  throw new StoreError("refused", `there is no measurement ${JSON.stringify(name)}`);
}

/** The number of a measurement's tag or field. @throws StoreError `refused`. */
export function requireSlot(names: readonly string[], name: string, what: "tag" | "field"): number {
  const slot = names.indexOf(name);
  if (slot >= 0) return slot;
  throw new StoreError("refused", `there is no ${what} ${JSON.stringify(name)}`);
}
