import { canonicalJson } from "@custody/contract/json";

import type { Fault } from "./faults.ts";
import type { HistoryEntry, LiveState } from "./history.ts";
import type { Attempt } from "./model.ts";
import { ensure, Violation } from "./violation.ts";

/** A tenant's journal, and what was live after each of its entries. */
export interface TenantHistory {
  readonly entries: readonly HistoryEntry[];
  readonly states: readonly LiveState[];
}

/**
 * Compares the journal with what clients asked for: each commit is one that was asked, whole, and once;
 * what was acknowledged is there, what was refused is not.
 */
export function checkCommits(
  history: TenantHistory,
  attempts: readonly Attempt[],
  faults: readonly Fault[],
): void {
  const commits = Map.groupBy(history.entries, ({ commit }) => commit);
  const byOp = new Map<number, readonly HistoryEntry[]>();
  for (const entries of commits.values()) {
    const ops = new Set(entries.map(({ op }) => op));
    ensure(ops.size === 1, "only-what-was-asked", () => "a commit says two sources");
    const [op] = ops;
    const isOurs = entries.some(({ type }) => type.startsWith("sim/"));
    if (op === undefined) {
      ensure(!isOurs, "only-what-was-asked", () => `nobody asked for ${describe(entries)}`);
      continue;
    }
    ensure(!byOp.has(op), "all-or-nothing", () => `step ${op} was committed twice`);
    byOp.set(op, entries);
  }
  for (const attempt of attempts) {
    const entries = byOp.get(attempt.op);
    byOp.delete(attempt.op);
    if (entries === undefined) checkAbsent(history, attempt, faults);
    else checkCommitted(history, attempt, entries);
  }
  const [unasked] = byOp.keys();
  ensure(unasked === undefined, "only-what-was-asked", () => `step ${unasked} asked for nothing`);
}

function checkCommitted(
  history: TenantHistory,
  attempt: Attempt,
  entries: readonly HistoryEntry[],
): void {
  const { op, outcome, reason } = attempt;
  const what = `step ${op}`;
  ensure(
    outcome !== "refused",
    "all-or-nothing",
    () => `${what} was refused (${reason}) and is there`,
  );
  const first = entries[0]?.sequence ?? 0;
  ensure(
    entries.every(({ sequence }, index) => sequence === first + index),
    "all-or-nothing",
    () => `${what}: other entries lie between its own`,
  );
  ensure(first > attempt.headBefore, "only-what-was-asked", () => `${what} was there before`);
  const before = history.states[first - 1];
  if (before === undefined) throw new Error(`there is no state before ${first}`);
  const expected = expectedChanges(attempt, before);
  const actual = entries
    .filter(({ type }) => type.startsWith("sim/"))
    .flatMap(({ type, records }) => records.map(({ id, json }) => `${type} ${id} ${json}`));
  // A lenient import leaves out records of an earlier edition, which are not valid any more.
  const isOptional = (change: string): boolean =>
    attempt.kind === "lenient import" &&
    change.startsWith("sim/assets") &&
    !change.includes('"edition"');
  const missing = expected
    .filter((change) => !actual.includes(change) && !isOptional(change))
    .filter((change) => !wasThereMeanwhile(history, attempt, { change, first }));
  const extra = actual.filter((change) => !expected.includes(change));
  ensure(
    missing.length === 0 && extra.length === 0 && new Set(actual).size === actual.length,
    "all-or-nothing",
    () => `${what} lacks ${missing.join("; ")} and has beside it ${extra.join("; ")}`,
  );
  checkVersions(attempt, before);
  checkUnchanged(what, entries, before);
  for (const receipt of attempt.receipts) {
    for (const { sequence, entryHash } of receipt.entries) {
      const hash = history.entries[sequence - 1]?.hash;
      ensure(hash === entryHash, "acknowledged-is-kept", () => `entry ${sequence} of ${what}`);
    }
  }
}

/** What an import found to be there while it was staging, it leaves out, whatever becomes of that later. */
function wasThereMeanwhile(
  { states }: TenantHistory,
  attempt: Attempt,
  { change, first }: { readonly change: string; readonly first: number },
): boolean {
  if (attempt.kind === "commit") return false;
  return states
    .slice(attempt.headBefore, first)
    .some((state) => !expectedChanges(attempt, state).includes(change));
}

/** What a commit adds to what is live: changed records as they were given, and deletions. */
function expectedChanges(attempt: Attempt, before: LiveState): readonly string[] {
  return attempt.parts.flatMap(({ type, put, delete: removed }) => {
    const live = before.get(type);
    const isKept = NEVER_CHANGED.includes(type);
    const changed = put
      // A lenient import leaves out what would change a record that never changes.
      .filter(({ id }) => !(attempt.kind === "lenient import" && isKept && live?.has(id) === true))
      .map(({ id, fields }) => ({ id, json: canonicalJson(fields) }))
      .filter(({ id, json }) => live?.get(id)?.json !== json);
    return [
      ...changed.map(({ id, json }) => `${type} ${id} ${json}`),
      ...removed.filter((id) => live?.has(id) === true).map((id) => `${type} ${id} `),
    ];
  });
}

function checkVersions({ op, ifVersion }: Attempt, before: LiveState): void {
  for (const [type, versions] of Object.entries(ifVersion)) {
    for (const [id, version] of Object.entries(versions)) {
      const actual = before.get(type)?.get(id)?.sequence ?? 0;
      ensure(
        actual === version,
        "expected-version-holds",
        () => `step ${op}: ${type} ${id} was at ${actual}, not ${version}`,
      );
    }
  }
}

const NEVER_CHANGED: readonly string[] = ["sim/events", "sim/interviews"];

/** A record of a type that never changes is written once. */
function checkUnchanged(what: string, entries: readonly HistoryEntry[], before: LiveState): void {
  for (const { type, records } of entries) {
    if (!NEVER_CHANGED.includes(type)) continue;
    const changed = records.find(({ id }) => before.get(type)?.has(id) === true);
    ensure(changed === undefined, "only-what-was-asked", () => `${what} changed ${changed?.id}`);
  }
}

/** What is acknowledged and not there must have been there already, at some instant of the call. */
function checkAbsent({ states }: TenantHistory, attempt: Attempt, faults: readonly Fault[]): void {
  const { op, outcome, headBefore, headAfter } = attempt;
  if (outcome === "refused") return checkReason(states, attempt, faults);
  if (outcome !== "acknowledged") return;
  const last = Math.min(headAfter, states.length - 1);
  for (let sequence = headBefore; sequence <= last; sequence += 1) {
    const state = states[sequence];
    if (state !== undefined && expectedChanges(attempt, state).length === 0) return;
  }
  throw new Violation("acknowledged-is-kept", `step ${op} was acknowledged and is nowhere`);
}

/** A refusal for good must be for something that was so at an instant of the call. */
function checkReason(
  states: readonly LiveState[],
  attempt: Attempt,
  faults: readonly Fault[],
): void {
  const { op, reason, headBefore, headAfter } = attempt;
  if (reason.includes("other writers kept changing")) return;
  // The types changed between drawing the record and committing it.
  if (reason.includes("edition: Invalid input")) return;
  // A writer that was stopped for longer than its lease has lost its segment to the collector.
  const hasLostTime = faults.some(({ kind }) => kind === "stall" || kind === "clock");
  if (reason.includes("intent to write segment") && hasLostTime) return;
  const last = Math.min(headAfter, states.length - 1);
  for (let sequence = headBefore; sequence <= last; sequence += 1) {
    const state = states[sequence];
    if (state !== undefined && mayRefuse(attempt, state)) return;
  }
  throw new Violation("refusal-has-a-reason", `step ${op} was refused: ${reason}`);
}

function mayRefuse({ parts, ifVersion }: Attempt, state: LiveState): boolean {
  const isStale = Object.entries(ifVersion).some(([type, versions]) =>
    Object.entries(versions).some(
      ([id, version]) => (state.get(type)?.get(id)?.sequence ?? 0) !== version,
    ),
  );
  return (
    isStale ||
    parts.some(({ type, put }) => {
      const live = state.get(type);
      if (type === "sim/users") return hasSameLogin(put, live);
      if (!NEVER_CHANGED.includes(type)) return false;
      return put.some(({ id, fields }) => {
        const known = live?.get(id);
        return known !== undefined && known.json !== canonicalJson(fields);
      });
    })
  );
}

function hasSameLogin(
  put: Attempt["parts"][number]["put"],
  live:
    | ReadonlyMap<string, { readonly fields: Readonly<Record<string, unknown>> | undefined }>
    | undefined,
): boolean {
  const logins = new Map<unknown, string>();
  for (const [id, { fields }] of live ?? []) {
    if (!put.some((record) => record.id === id)) logins.set(fields?.["login"], id);
  }
  for (const { id, fields } of put) {
    if (logins.has(fields["login"])) return true;
    logins.set(fields["login"], id);
  }
  return false;
}

function describe(entries: readonly HistoryEntry[]): string {
  return entries.map(({ sequence, type }) => `${sequence} ${type}`).join(", ");
}
