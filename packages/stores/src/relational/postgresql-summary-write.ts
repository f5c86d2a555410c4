import { hash } from "node:crypto";

import type { Measure } from "@custody/contract/summary";

import type { PgSession } from "../drivers/postgresql-session.ts";
import {
  bigintArray,
  bytesArray,
  doubleArray,
  sql,
  storedText,
  textArray,
} from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import { commaList, textCell } from "./postgresql-columns.ts";
import { cellColumns, cellsOf, groupOf } from "./postgresql-summary-cells.ts";
import type { CellKind } from "./postgresql-summary-cells.ts";
import { lackingGroup } from "./summary-delivery.ts";
import { mergeGroup } from "./summary-fold.ts";
import type { GroupState, MeasureState, SummaryFolding } from "./summary-fold.ts";

/** The relations that make up a summary; their names are quoted, with their schema. */
export interface SummaryTables {
  readonly view: string;
  readonly groups: string;
  /** Counted values, each in a row of its own. */
  readonly counts: string;
}

// Groups are merged so many at a time, so that memory is bounded.
const GROUPS_MERGED_MAX = 1_000;
const COUNTS_WRITTEN_MAX = 20_000;

interface Delta {
  readonly name: string;
  readonly hash: Uint8Array;
  readonly group: GroupState;
}

/** Adds what deliveries change to the groups of one summary. */
export class SummaryWriter {
  readonly #tables: SummaryTables;
  readonly #folding: SummaryFolding;
  readonly #cells: readonly (readonly [name: string, kind: CellKind])[];

  constructor(
    tables: SummaryTables,
    folding: SummaryFolding,
    measures: readonly (Measure | undefined)[],
  ) {
    this.#tables = tables;
    this.#folding = folding;
    this.#cells = measures.flatMap(cellColumns);
  }

  /**
   * Adds each delta to its group; a group left without records disappears. Groups are locked in the
   * order of their hashes, so that no two writers wait for each other.
   *
   * @throws StoreError `corrupt` when records are taken back that no group has.
   */
  async merge(session: PgSession, space: string, deltas: Iterable<GroupState>): Promise<void> {
    const named = [...deltas].map((group): Delta => {
      const name = this.#folding.name(group);
      return { name, hash: shortHash(name), group };
    });
    named.sort((left, right) => Buffer.compare(left.hash, right.hash));
    for (let first = 0; first < named.length; first += GROUPS_MERGED_MAX) {
      await this.#mergeSome(session, space, named.slice(first, first + GROUPS_MERGED_MAX));
    }
  }

  async #mergeSome(session: PgSession, space: string, deltas: readonly Delta[]): Promise<void> {
    const stored = await this.#lock(session, space, deltas);
    const merged = deltas.flatMap((delta) => {
      const group = stored.get(delta.name);
      if (group === undefined) return delta.group.records === 0 ? [] : [delta];
      mergeGroup(group, { ...delta.group, measures: delta.group.measures.map(withoutCounts) });
      return [{ ...delta, group }];
    });
    if (merged.some(({ group }) => group.records < 0)) throw lackingGroup();
    const kept = merged.filter(({ group }) => group.records > 0);
    const ended = merged.filter(({ group }) => group.records === 0);
    const keptNames = new Set(kept.map(({ name }) => name));
    await session.runAll([
      ...this.#deletion(space, ended),
      ...this.#insertion(space, kept),
      ...this.#countings(
        space,
        deltas.filter(({ name }) => keptNames.has(name)),
      ),
    ]);
  }

  /** The groups that are there, locked; without their counted values. */
  async #lock(
    session: PgSession,
    space: string,
    deltas: readonly Delta[],
  ): Promise<ReadonlyMap<string, GroupState>> {
    const hashes = bytesArray(deltas.map(({ hash: one }) => one));
    const rows = await session.rows(sql`SELECT * FROM ${verbatim(this.#tables.groups)}
      WHERE _space = ${space} AND _group = ANY(${hashes}) ORDER BY _group FOR UPDATE`);
    return new Map(rows.map((row) => [textCell(row["_key"]), groupOf(this.#folding, row)]));
  }

  #deletion(space: string, ended: readonly Delta[]): readonly PgFragment[] {
    if (ended.length === 0) return [];
    const hashes = bytesArray(ended.map(({ hash: one }) => one));
    const { groups, counts } = this.#tables;
    return [counts, groups].map(
      (table) =>
        sql`DELETE FROM ${verbatim(table)} WHERE _space = ${space} AND _group = ANY(${hashes})`,
    );
  }

  #insertion(space: string, kept: readonly Delta[]): readonly PgFragment[] {
    if (kept.length === 0) return [];
    const { keyNames } = this.#folding;
    const cells = kept.map(({ group }) => group.measures.flatMap(cellsOf));
    const arrays = [
      bytesArray(kept.map(({ hash: one }) => one)),
      textArray(kept.map(({ name }) => name)),
      bigintArray(kept.map(({ group }) => group.records)),
      ...keyNames.map((_, at) => textArray(kept.map(({ group }) => storedKey(group, at)))),
      ...this.#cells.map(([, kind], at) =>
        boundCells(
          kind,
          cells.map((row) => row[at] ?? null),
        ),
      ),
    ];
    const changing = ["records", ...this.#cells.map(([name]) => name)];
    const names = ["_group", "_key", "records", ...keyNames.map((_, at) => `k${at}`)];
    const columns = [...names, ...this.#cells.map(([name]) => name)].join(", ");
    const sets = changing.map((name) => `${name} = excluded.${name}`).join(", ");
    return [
      sql`INSERT INTO ${verbatim(`${this.#tables.groups} (_space, ${columns})`)}
        SELECT ${space}::text, ${verbatim(columns)}
        FROM unnest(${commaList(arrays)}) AS new (${verbatim(columns)})
        ON CONFLICT (_space, _group) DO UPDATE SET ${verbatim(sets)}`,
    ];
  }

  #countings(space: string, deltas: readonly Delta[]): readonly PgFragment[] {
    const changes = deltas.flatMap(({ hash: group, group: { measures } }) =>
      measures.flatMap((state, measure) => countsOf(state, { group, measure })),
    );
    const statements: PgFragment[] = [];
    for (let first = 0; first < changes.length; first += COUNTS_WRITTEN_MAX) {
      statements.push(...this.#counting(space, changes.slice(first, first + COUNTS_WRITTEN_MAX)));
    }
    return statements;
  }

  #counting(space: string, changes: readonly CountChange[]): readonly PgFragment[] {
    const table = verbatim(this.#tables.counts);
    const less = changes.filter(({ count }) => count < 0);
    const addition = sql`INSERT INTO ${table} AS stored
      (_space, _group, measure, _value, value, count)
      SELECT ${space}::text, * FROM unnest(${placesOf(changes)},
        ${textArray(changes.map(({ value }) => value))},
        ${bigintArray(changes.map(({ count }) => count))}) AS new
      ON CONFLICT (_space, _group, measure, _value)
      DO UPDATE SET count = stored.count + excluded.count`;
    if (less.length === 0) return [addition];
    const removal = sql`DELETE FROM ${table} AS stored
      USING unnest(${placesOf(less)}) AS gone (_group, measure, _value)
      WHERE stored._space = ${space} AND stored._group = gone._group
      AND stored.measure = gone.measure AND stored._value = gone._value AND stored.count = 0`;
    return [addition, removal];
  }
}

interface CountChange {
  readonly group: Uint8Array;
  readonly measure: number;
  readonly hash: Uint8Array;
  /** JSON text. */
  readonly value: string;
  readonly count: number;
}

function countsOf(
  state: MeasureState,
  of: Pick<CountChange, "group" | "measure">,
): readonly CountChange[] {
  if (state.kind !== "counts") return [];
  return [...state.counts].map(([counted, count]) => {
    const value = JSON.stringify(counted);
    return { ...of, hash: shortHash(value), value, count };
  });
}

/** Where counted values are found: group, measure and hash, each as one array. */
function placesOf(changes: readonly CountChange[]): PgFragment {
  return commaList([
    bytesArray(changes.map(({ group }) => group)),
    bigintArray(changes.map(({ measure }) => measure)),
    bytesArray(changes.map(({ hash: one }) => one)),
  ]);
}

/** What a text is found by; half of SHA-256 is more than chance can meet. */
function shortHash(text: string): Uint8Array {
  return hash("sha256", text, "buffer").subarray(0, 16);
}

function storedKey({ key }: GroupState, at: number): string | null {
  const value = key[at] ?? null;
  return value === null ? null : storedText(value);
}

function boundCells(kind: CellKind, values: readonly (number | string | null)[]): PgFragment {
  const numbers = (): (number | null)[] =>
    values.map((value) => (typeof value === "number" ? value : null));
  if (kind === "bigint") return bigintArray(numbers());
  if (kind === "double") return doubleArray(numbers());
  return textArray(values.map((value) => (typeof value === "string" ? value : null)));
}

const NO_COUNTS: MeasureState = { kind: "counts", counts: new Map() };

function withoutCounts(state: MeasureState): MeasureState {
  return state.kind === "counts" ? NO_COUNTS : state;
}
