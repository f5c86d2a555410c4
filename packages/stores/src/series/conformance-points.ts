import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import type { SeriesPlacements, SeriesStore } from "./port.ts";

/** A point as a test writes it. */
export interface TestPoint {
  readonly at?: number;
  readonly model?: string;
  readonly host?: string;
  readonly ms?: number;
  readonly size?: number;
}

/** A collection with the measurement `calls`: tags model and host, fields ms and size. */
export function callsOf(name: string): Collection<SeriesPlacements> {
  return {
    name,
    generation: 1,
    placements: {
      [name]: [
        {
          measurement: "calls",
          at: "at",
          tags: { model: "model", host: "host" },
          fields: { ms: "ms", size: "size" },
        },
      ],
    },
  };
}

/** Writes points as records `point-<first>`, … in one sequence. */
export async function writePoints(
  store: SeriesStore,
  scope: Scope,
  collection: Collection<SeriesPlacements>,
  {
    points,
    sequence = 1,
    first = 0,
  }: {
    readonly points: readonly TestPoint[];
    readonly sequence?: number;
    readonly first?: number;
  },
): Promise<void> {
  await store.prepare(scope, collection);
  const records = points.map((point, index) => ({
    id: `point-${first + index}`,
    sequence,
    text: JSON.stringify(point),
  }));
  const batch = makeBatch(collection.name, records);
  await store.apply(scope, collection, { batches: [batch], checkpoint: sequence });
}
