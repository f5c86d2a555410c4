import { canonicalJson } from "@custody/contract/json";
import type { ValueExpression } from "@custody/contract/placement";
import type { Condition, Measure, SummaryDeclaration } from "@custody/contract/summary";
import { asInstantMs, asNumber, asText, compileValue } from "@custody/contract/value-expression";

import { StoreError } from "../errors.ts";
import { ExactSum } from "./exact-sum.ts";

/** What a measure has gathered, or what is to be added to it. */
export type MeasureState =
  | { readonly kind: "count"; count: number }
  | { readonly kind: "sum"; readonly sum: ExactSum }
  | { readonly kind: "extreme"; readonly isMax: boolean; value: number | undefined }
  | { readonly kind: "counts"; readonly counts: Map<string, number> };

/** A group: its key's texts in order of their names, how many records it has, and its measures by name. */
export interface GroupState {
  readonly key: readonly (string | null)[];
  records: number;
  readonly measures: readonly MeasureState[];
}

/** A compiled summary. Names are sorted; keys and measures are lists in that order. */
export interface SummaryFolding {
  readonly keyNames: readonly string[];
  readonly measureNames: readonly string[];
  /** The key of a record's group; a value is text, or JSON text of what is no text, or null. */
  key(record: unknown): readonly (string | null)[];
  /** A group without records. */
  empty(key: readonly (string | null)[]): GroupState;
  /**
   * Adds a record to its group, or takes it back.
   *
   * @throws StoreError `refused` when an extreme would have to be taken back.
   */
  add(group: GroupState, record: unknown, sign: 1 | -1): void;
  /** The group's name: canonical JSON of its key. */
  name(group: GroupState): string;
  /** Canonical JSON of key and measures: what reconciliation hashes. */
  content(group: GroupState): string;
}

/** Compiles a summary's declaration. */
export function compileSummary(declaration: SummaryDeclaration): SummaryFolding {
  const keys = byName(declaration.key);
  const measures = byName(declaration.measures);
  const keyNames = keys.map(([name]) => name);
  const measureNames = measures.map(([name]) => name);
  const takeKeys = keys.map(([, expression]) => compileValue(expression));
  const states = measures.map(([, measure]) => emptyState(measure));
  const contribute = measures.map(([, measure]) => compileMeasure(measure));
  const name = (group: GroupState): string => canonicalJson(group.key);
  return {
    keyNames,
    measureNames,
    key: (record) => takeKeys.map((take) => keyText(take(record))),
    empty: (key) => ({ key, records: 0, measures: states.map((make) => make()) }),
    add: (group, record, sign) => {
      group.records += sign;
      for (const [index, add] of contribute.entries()) {
        const state = group.measures[index];
        if (state !== undefined) add(state, record, sign);
      }
    },
    name,
    content: (group) =>
      canonicalJson({
        key: group.key,
        records: group.records,
        measures: group.measures.map(plain),
      }),
  };
}

/** Adds what `delta` has gathered to `group`. */
export function mergeGroup(group: GroupState, delta: GroupState): void {
  group.records += delta.records;
  for (const [index, state] of group.measures.entries()) {
    const added = delta.measures[index];
    if (added !== undefined) mergeState(state, added);
  }
}

/**
 * Groups gathered in memory: those of a delivery, or of a whole journal for comparison.
 *
 * Memory is that of the groups and their counted values, not of the records.
 */
export class SummaryFold {
  readonly folding: SummaryFolding;
  readonly #groups = new Map<string, GroupState>();

  constructor(declaration: SummaryDeclaration) {
    this.folding = compileSummary(declaration);
  }

  add(record: unknown): void {
    this.#change(record, 1);
  }

  /** Takes back a record as it stood when it was added. */
  retract(record: unknown): void {
    this.#change(record, -1);
  }

  /** The groups gathered, also those that ended without records. */
  groups(): Iterable<GroupState> {
    return this.#groups.values();
  }

  /** The rows reconciliation compares: groups that have records. */
  *rows(): Generator<{ readonly id: string; readonly content: string }> {
    for (const group of this.#groups.values()) {
      if (group.records === 0) continue;
      yield { id: this.folding.name(group), content: this.folding.content(group) };
    }
  }

  #change(record: unknown, sign: 1 | -1): void {
    const key = this.folding.key(record);
    const name = canonicalJson(key);
    let group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, (group = this.folding.empty(key)));
    this.folding.add(group, record, sign);
  }
}

type Contribute = (state: MeasureState, record: unknown, sign: 1 | -1) => void;

function emptyState(measure: Measure): () => MeasureState {
  if ("count" in measure) return () => ({ kind: "count", count: 0 });
  if ("sum" in measure) return () => ({ kind: "sum", sum: new ExactSum() });
  if ("min" in measure || "max" in measure) {
    return () => ({ kind: "extreme", isMax: "max" in measure, value: undefined });
  }
  return () => ({ kind: "counts", counts: new Map() });
}

function compileMeasure(measure: Measure): Contribute {
  if ("count" in measure) {
    const holds = compileCondition(measure.where);
    return (state, record, sign) => {
      if (state.kind === "count" && holds(record)) state.count += sign;
    };
  }
  if ("sum" in measure) {
    const values = compileAll(measure.sum);
    return (state, record, sign) => {
      if (state.kind !== "sum") return;
      for (const value of values(record)) {
        const number = typeof value === "bigint" ? value : asNumber(value);
        if (number !== undefined) state.sum.add(number, sign);
      }
    };
  }
  if ("countBy" in measure) {
    const holds = compileCondition(measure.where);
    const values = compileAll(measure.countBy);
    return (state, record, sign) => {
      if (state.kind !== "counts" || !holds(record)) return;
      for (const value of values(record)) addCount(state.counts, wellFormedText(value), sign);
    };
  }
  if ("histogram" in measure) return compileHistogram(measure.histogram, measure.edges);
  return compileExtreme("min" in measure ? measure.min : measure.max);
}

function compileHistogram(expression: ValueExpression, edges: readonly number[]): Contribute {
  const values = compileAll(expression);
  const sorted = [...edges].sort((left, right) => left - right);
  return (state, record, sign) => {
    if (state.kind !== "counts") return;
    for (const value of values(record)) {
      const number = asNumber(value);
      if (number === undefined) continue;
      const lower = sorted.findLast((edge) => edge <= number);
      addCount(state.counts, lower === undefined ? `<${sorted[0]}` : `>=${lower}`, sign);
    }
  };
}

function compileExtreme(expression: ValueExpression): Contribute {
  const values = compileAll(expression);
  return (state, record, sign) => {
    if (state.kind !== "extreme") return;
    for (const value of values(record)) {
      const number = extremeNumber(value);
      if (number === undefined) continue;
      if (sign === -1) throw new StoreError("refused", "an extreme cannot be taken back");
      state.value = betterOf(state, number);
    }
  };
}

// Instants are summed up as epoch milliseconds: the first and last of a session, for one.
const INSTANT = /^\d{4}-\d{2}-\d{2}T/;

function extremeNumber(value: unknown): number | undefined {
  if (typeof value === "string") return INSTANT.test(value) ? asInstantMs(value) : undefined;
  const number = asNumber(value);
  return number === undefined ? undefined : number + 0;
}

function betterOf(
  { isMax, value }: { readonly isMax: boolean; readonly value: number | undefined },
  other: number,
): number {
  if (value === undefined) return other;
  return isMax ? Math.max(value, other) : Math.min(value, other);
}

function compileCondition(condition: Condition | undefined): (record: unknown) => boolean {
  if (condition === undefined) return () => true;
  const values = compileAll(condition.value);
  const literals: readonly unknown[] = condition.isIn;
  return (record) => values(record).some((value) => literals.includes(value));
}

/** Every value an expression takes: several with `all` or of a list, else one or none. */
function compileAll(expression: ValueExpression): (record: unknown) => readonly unknown[] {
  const take = compileValue(expression);
  return (record) => {
    const value = take(record);
    if (value === undefined || value === null) return [];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    return list.filter((one) => one !== null && one !== undefined);
  };
}

function mergeState(state: MeasureState, added: MeasureState): void {
  if (state.kind === "count" && added.kind === "count") state.count += added.count;
  else if (state.kind === "sum" && added.kind === "sum") state.sum.addSum(added.sum);
  else if (state.kind === "extreme" && added.kind === "extreme") {
    if (added.value !== undefined) state.value = betterOf(state, added.value);
  } else if (state.kind === "counts" && added.kind === "counts") {
    for (const [value, count] of added.counts) addCount(state.counts, value, count);
  }
}

function addCount(counts: Map<string, number>, value: string, count: number): void {
  const sum = (counts.get(value) ?? 0) + count;
  if (sum === 0) counts.delete(value);
  else counts.set(value, sum);
}

function plain(state: MeasureState): unknown {
  switch (state.kind) {
    case "count":
      return state.count;
    case "sum":
      return state.sum.toText();
    case "extreme":
      return state.value ?? null;
    case "counts":
      return Object.fromEntries(state.counts);
  }
}

function keyText(value: unknown): string | null {
  return value === undefined || value === null ? null : wellFormedText(value);
}

/** Text as every engine keeps it: lone surrogates have no UTF-8. */
function wellFormedText(value: unknown): string {
  return asText(value).toWellFormed();
}

function byName<Value>(map: Readonly<Record<string, Value>>): [string, Value][] {
  return Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1));
}
