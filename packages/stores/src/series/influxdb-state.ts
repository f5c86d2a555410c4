import { cell } from "../drivers/influxdb-rows.ts";
import type { FluxRow } from "../drivers/influxdb-rows.ts";
import type { Influxdb } from "../drivers/influxdb.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import { INSTANT_MIN } from "./influxdb-lines.ts";
import { AT_EPOCH, fluxPoints } from "./influxdb-points.ts";
import { encodedText, fluxText, lineText, plainText } from "./influxdb-text.ts";
import { onlyPlacements, seriesLayout } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";
import type { SeriesPlacements } from "./port.ts";

/** What is known of a collection beside its points. */
export interface InfluxdbState {
  readonly name: string;
  readonly generation: number;
  readonly layout: string;
  readonly checkpoint: number;
  /** The highest sequence any point may have: a repair can write ahead of the checkpoint. */
  readonly highest: number;
  /** The latest instant any point was written at, in milliseconds. */
  readonly latestAt: number;
  /** True while a delivery is written whose points may lie elsewhere when it is written again. */
  readonly isUnsettled: boolean;
  /** True while it is being discarded. */
  readonly isDiscarded: boolean;
  /** `measurement number:width in milliseconds` of each rollup. */
  readonly rollups: readonly string[];
}

const COLLECTIONS = "collections";

/** The states of all collections of a space, each a point in a bucket of their own. */
export class InfluxdbStates {
  readonly #server: Influxdb;
  readonly #spaceOf: (scope: Scope) => string;
  readonly #known = new Set<string>();

  constructor(server: Influxdb, spaceOf: (scope: Scope) => string) {
    this.#server = server;
    this.#spaceOf = spaceOf;
  }

  /** The bucket of a collection's points. */
  bucket(scope: Scope, { name, generation }: Pick<InfluxdbState, "name" | "generation">): string {
    // Neither a tenant nor a generation holds a dot, so that no two collections share a bucket.
    const plain = name.replaceAll(/[^a-z0-9-]/g, (mark) =>
      mark === "/" ? "." : `~${mark.codePointAt(0)?.toString(16) ?? ""}~`,
    );
    return `${this.#server.prefix}.${this.#spaceOf(scope)}.${plain}.g${generation}`;
  }

  /** `undefined` for a collection that was never prepared, or is discarded. */
  async find(
    scope: Scope,
    collection: Pick<InfluxdbState, "name" | "generation">,
  ): Promise<InfluxdbState | undefined> {
    const found = await this.#read(scope, collection);
    return found[0]?.isDiscarded === true ? undefined : found[0];
  }

  /** @throws StoreError `refused` when it was never prepared. */
  async require(
    scope: Scope,
    collection: Pick<InfluxdbState, "name" | "generation">,
  ): Promise<InfluxdbState> {
    const found = await this.find(scope, collection);
    if (found !== undefined) return found;
    throw new StoreError(
      "refused",
      `${collection.name} generation ${collection.generation} is not prepared`,
    );
  }

  /** Every collection of the space. */
  async list(scope: Scope): Promise<readonly InfluxdbState[]> {
    return (await this.#read(scope)).filter(({ isDiscarded }) => !isDiscarded);
  }

  async prepare(scope: Scope, collection: Collection<SeriesPlacements>): Promise<void> {
    const layout = JSON.stringify(checkedLayout(collection));
    const [found] = await this.#read(scope, collection);
    if (found !== undefined && !found.isDiscarded) {
      if (found.layout === layout) return;
      throw new StoreError(
        "refused",
        `${collection.name} generation ${collection.generation} exists with another mapping`,
      );
    }
    if (found !== undefined) await this.discard(scope, collection);
    const dialect = await this.#server.dialect(scope);
    await dialect.makeBucket(scope, this.#own(scope));
    await dialect.makeBucket(scope, this.bucket(scope, collection));
    await this.write(scope, {
      name: collection.name,
      generation: collection.generation,
      layout,
      checkpoint: 0,
      highest: 0,
      latestAt: INSTANT_MIN,
      isUnsettled: false,
      isDiscarded: false,
      rollups: [],
    });
  }

  /** Replaces what is known of a collection. */
  async write(scope: Scope, state: InfluxdbState): Promise<void> {
    const fields = [
      `layout="${encodedText(state.layout)}"`,
      `checkpoint=${state.checkpoint}i`,
      `highest=${state.highest}i`,
      `latestAt=${state.latestAt}i`,
      `isUnsettled=${state.isUnsettled}`,
      `isDiscarded=${state.isDiscarded}`,
      `rollups="${state.rollups.join(" ")}"`,
    ];
    const line = `${COLLECTIONS},${this.#tags(state)} ${fields.join(",")} 0`;
    await this.#server.write(scope, this.#own(scope), line);
  }

  /**
   * Drops a collection. It is marked first, so that a crash in the midst leaves none whose checkpoint
   * says more than its points.
   */
  async discard(
    scope: Scope,
    collection: Pick<InfluxdbState, "name" | "generation">,
  ): Promise<void> {
    const [found] = await this.#read(scope, collection);
    if (found === undefined) return;
    await this.write(scope, { ...found, checkpoint: 0, isDiscarded: true });
    const dialect = await this.#server.dialect(scope);
    const bucket = this.bucket(scope, collection);
    await dialect.dropBucket(scope, rollupBucket(bucket));
    await dialect.dropBucket(scope, bucket);
    await dialect.deleteRanges(scope, this.#own(scope), [
      {
        measurement: COLLECTIONS,
        tags: [
          ["generation", String(collection.generation)],
          ["name", encodedText(collection.name)],
        ],
        from: 0n,
        to: 0n,
      },
    ]);
  }

  async #read(
    scope: Scope,
    collection?: Pick<InfluxdbState, "name" | "generation">,
  ): Promise<readonly InfluxdbState[]> {
    const bucket = this.#own(scope);
    if (!(await this.#exists(scope, bucket))) return [];
    const of = { server: this.#server, scope, bucket };
    const only =
      collection === undefined
        ? ""
        : ` and r.name == ${fluxText(encodedText(collection.name))} and r.generation == "${collection.generation}"`;
    const script = await fluxPoints(of, AT_EPOCH, `r._measurement == "${COLLECTIONS}"${only}`);
    const found = new Map<string, Map<string, string>>();
    const add = (row: FluxRow): void => {
      const named = ["name", "generation"].map((name) => [name, cell(row, name)] as const);
      const key = named.map(([, value]) => value).join(" ");
      const fields = found.get(key) ?? new Map<string, string>(named);
      found.set(key, fields);
      fields.set(cell(row, "_field"), cell(row, "_value"));
    };
    const doing = "read the state of collections";
    try {
      for await (const rows of this.#server.rows(scope, doing, script)) rows.forEach(add);
    } catch (cause) {
      // It may have been dropped: version 1.8 has no code that says so, so the next call looks.
      this.#known.delete(bucket);
      throw cause;
    }
    return [...found.values()].map(stateOf);
  }

  /** A bucket that was there once is taken to be there still, until it cannot be read. */
  async #exists(scope: Scope, bucket: string): Promise<boolean> {
    if (this.#known.has(bucket)) return true;
    const dialect = await this.#server.dialect(scope);
    const isThere = (await dialect.listBuckets(scope)).includes(bucket);
    if (isThere) this.#known.add(bucket);
    return isThere;
  }

  #own(scope: Scope): string {
    return `${this.#server.prefix}.${this.#spaceOf(scope)}`;
  }

  #tags({ name, generation }: InfluxdbState): string {
    return `generation=${generation},name=${lineText(encodedText(name))}`;
  }
}

/** The bucket of what was folded of a collection. */
export function rollupBucket(bucket: string): string {
  return `${bucket}.rollups`;
}

// Names of tags and fields come once in each key of a series: 65,535 bytes with the tags' values.
const TAGS_MAX = 40;
const NAME_BYTES_MAX = 200;

function checkedLayout(collection: Collection<SeriesPlacements>): SeriesLayout {
  const layout = seriesLayout(onlyPlacements(collection));
  for (const { name, tags, fields } of layout.measurements) {
    if (tags.length > TAGS_MAX) {
      throw new StoreError("limit", `${collection.name}: ${name} has more than ${TAGS_MAX} tags`);
    }
    for (const one of [name, ...tags, ...fields]) {
      if (Buffer.byteLength(one) <= NAME_BYTES_MAX) continue;
      throw new StoreError(
        "limit",
        `${collection.name} has a name of more than ${NAME_BYTES_MAX} bytes`,
      );
    }
  }
  return layout;
}

function stateOf(fields: ReadonlyMap<string, string>): InfluxdbState {
  const number = (name: string): number => Number(fields.get(name) ?? 0);
  return {
    name: plainText(fields.get("name") ?? ""),
    generation: number("generation"),
    layout: plainText(fields.get("layout") ?? ""),
    checkpoint: number("checkpoint"),
    highest: number("highest"),
    latestAt: number("latestAt"),
    isUnsettled: fields.get("isUnsettled") === "true",
    isDiscarded: fields.get("isDiscarded") === "true",
    rollups: (fields.get("rollups") ?? "").split(" ").filter((one) => one !== ""),
  };
}
