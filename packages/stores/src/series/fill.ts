import type { SeriesQuery } from "./port.ts";

/** Buckets of one group, by their start; values in the order of the query's. */
export interface FilledGroup {
  readonly tags: readonly (string | null)[];
  readonly buckets: ReadonlyMap<number, readonly (number | null)[]>;
}

/** A row of a filled answer. */
export interface FilledRow {
  readonly bucketAt: number;
  readonly tags: readonly (string | null)[];
  readonly values: readonly (number | null)[];
}

/**
 * Fills empty buckets of each group, for engines that answer only those with points.
 *
 * A value that is null within a bucket counts as empty too. `previous` and `linear` leave null what
 * has no bucket before it, or on both sides.
 *
 * @param bucketAts the start of every bucket of the range, ascending.
 */
export function fillGroups(
  groups: readonly FilledGroup[],
  bucketAts: readonly number[],
  { fill, width }: { readonly fill: NonNullable<SeriesQuery["fill"]>; readonly width: number },
): FilledRow[] {
  const columns = groups.map(({ buckets }) =>
    Array.from({ length: width }, (_, value) => {
      const found = bucketAts.map((bucketAt) => buckets.get(bucketAt)?.[value] ?? null);
      return fillColumn(found, bucketAts, fill);
    }),
  );
  return bucketAts.flatMap((bucketAt, at) =>
    groups.map(({ tags }, group) => ({
      bucketAt,
      tags,
      values: (columns[group] ?? []).map((column) => column[at] ?? null),
    })),
  );
}

function fillColumn(
  values: readonly (number | null)[],
  bucketAts: readonly number[],
  fill: NonNullable<SeriesQuery["fill"]>,
): readonly (number | null)[] {
  if (fill === "zero") return values.map((value) => value ?? 0);
  if (fill === "previous") {
    let last: number | null = null;
    return values.map((value) => (last = value ?? last));
  }
  return fill === "linear" ? straight(values, bucketAts) : values;
}

function straight(
  values: readonly (number | null)[],
  bucketAts: readonly number[],
): readonly (number | null)[] {
  const filled = [...values];
  let left: { readonly at: number; readonly value: number } | undefined;
  for (const [at, value] of values.entries()) {
    if (value === null) continue;
    for (let between = (left?.at ?? at) + 1; left !== undefined && between < at; between += 1) {
      const from = bucketAts[left.at] ?? 0;
      const span = (bucketAts[at] ?? 0) - from;
      const part = ((bucketAts[between] ?? 0) - from) / span;
      filled[between] = left.value + (value - left.value) * part;
    }
    left = { at, value };
  }
  return filled;
}
