import { createHash } from "node:crypto";

import { StoreError } from "../errors.ts";
import { contentHashes } from "../relational/conformance-journal-fixture.ts";
import type {
  IdPosition,
  JournalHead,
  JournalStore,
  JournalTransaction,
  NewEntry,
  StoredEntry,
} from "../relational/journal.ts";
import type { Scope } from "../scope.ts";
import { scopeFor } from "./scope.ts";

/** The tenants that writers of a storm commit to. */
export const STORM_TENANTS: readonly string[] = ["storm-a", "storm-b", "storm-c"];

const TYPES = ["lab/first", "lab/second"] as const;
const HOT_IDS = 12;
// So many that a look-up of them is often what a fault meets.
const MANY_IDS = Array.from({ length: 5_000 }, (_, index) => `hot-${index % HOT_IDS}`);

/** What a writer of a storm is told, and whom it tells. */
export interface StormWriter {
  /** No other writer of the storm has it. */
  readonly name: string;
  readonly random: () => number;
  readonly deadlineMs: number;
  /** Told before a commit is tried, and when it was acknowledged. */
  readonly tell: (
    what: "tried" | "acknowledged",
    tenant: string,
    commits: readonly string[],
  ) => void;
  readonly isOver: () => boolean;
}

/**
 * Commits to random tenants until it is over, in groups, of which some fail and some are rolled back.
 *
 * Each commit has two entries, each of which names the hash of the one before it. What a writer may meet
 * in a storm is `unavailable`; anything else is thrown.
 */
export async function writeInStorm(store: JournalStore, writer: StormWriter): Promise<void> {
  for (let turn = 0; !writer.isOver(); turn++) {
    const tenant = STORM_TENANTS[Math.floor(writer.random() * STORM_TENANTS.length)] ?? "";
    const scope = { ...scopeFor(tenant), deadline: Date.now() + writer.deadlineMs };
    try {
      await commitGroup(store, scope, { ...writer, turn });
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== "unavailable") throw cause;
    }
  }
}

async function commitGroup(
  store: JournalStore,
  scope: Scope,
  writer: StormWriter & { readonly turn: number },
): Promise<void> {
  const { name, random, tell, turn } = writer;
  const transaction = await store.begin(scope);
  const commits: string[] = [];
  let { head } = transaction;
  try {
    for (let part = Math.ceil(random() * 6); part > 0; part--) {
      const commit = `${name}-${turn}-${part}`;
      tell("tried", scope.tenant, [commit]);
      const next = await tryAppend(transaction, { head, commit, random });
      if (next === undefined) continue;
      commits.push(commit);
      head = next;
    }
  } catch (cause) {
    await transaction.rollback();
    throw cause;
  }
  if (random() < 0.1) return await transaction.rollback();
  await transaction.commit();
  tell("acknowledged", scope.tenant, commits);
}

/** The head after one more commit; `undefined` for one that fails: it is left out of its group, as core does. */
async function tryAppend(
  transaction: JournalTransaction,
  of: { readonly head: JournalHead | undefined; readonly commit: string } & RandomSource,
): Promise<JournalHead | undefined> {
  const { head, commit, random } = of;
  const isRefused = random() < 0.2;
  const entries = entriesAfter(head, commit, random, isRefused);
  const next = headAfter(head, entries);
  try {
    // As some commits look again under the lock, also when one before them in the group has failed.
    if (random() < 0.4) await transaction.lookup(TYPES[0], MANY_IDS);
    await transaction.append({
      head: next,
      entries,
      nodes: entries.map(({ sequence, hash }) => ({ level: 0, index: sequence - 1, hash })),
      treeHead: hashOf(commit),
      segments: [],
      intents: [],
      receipt: { kind: "idempotency", key: commit, receipt: commit },
    });
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    return undefined;
  }
  if (isRefused) throw new Error(`${commit} was to be refused`);
  return next;
}

interface RandomSource {
  readonly random: () => number;
}

/** Two entries; one that is to be refused has an id twice. */
function entriesAfter(
  head: JournalHead | undefined,
  commit: string,
  random: () => number,
  isRefused: boolean,
): readonly NewEntry[] {
  let previous = hex(head?.lastEntryHash ?? new Uint8Array());
  return TYPES.map((type, index) => {
    const hot = [...new Set([1, 2].map(() => `hot-${Math.floor(random() * HOT_IDS)}`))];
    const ids = [`${commit}-${index}`, ...hot, ...(isRefused ? hot : [])];
    const operation = random() < 0.3 ? "delete" : "put";
    const bytes = Buffer.from(JSON.stringify({ previous, commit, type, operation, ids }));
    const hash = hashOf(bytes);
    previous = hex(hash);
    return {
      sequence: (head?.sequence ?? 0) + index + 1,
      hash,
      bytes,
      commit,
      type,
      operation,
      count: ids.length,
      receivedAt: 1,
      location: { kind: "inline" as const },
      lines: bytes,
      ids,
      contentHashes: contentHashes(ids),
    };
  });
}

function headAfter(
  head: JournalHead | undefined,
  entries: readonly { readonly sequence: number; readonly hash: Uint8Array }[],
): JournalHead {
  const last = entries.at(-1);
  return {
    timeline: head?.timeline ?? "storm",
    sequence: last?.sequence ?? 0,
    lastEntryHash: last?.hash ?? new Uint8Array(),
    lastReceivedAt: 1,
    frontier: last?.hash ?? new Uint8Array(),
  };
}

/** What a tenant's journal is found to be after a storm. */
export interface StormFindings {
  readonly entries: number;
  /** Everything that is not as it should be, in words. */
  readonly faults: readonly string[];
}

/** Looks whether a tenant's journal is whole, and holds what was acknowledged and nothing that was not tried. */
export async function inspectAfterStorm(
  store: JournalStore,
  tenant: string,
  told: { readonly tried: ReadonlySet<string>; readonly acknowledged: readonly string[] },
): Promise<StormFindings> {
  const scope = scopeFor(tenant);
  const faults: string[] = [];
  const latest = new Map<string, Map<string, IdPosition>>(TYPES.map((type) => [type, new Map()]));
  const commits: string[] = [];
  let [previous, sequence] = ["", 0];
  for await (const entry of allEntries(store, scope)) {
    sequence += 1;
    if (entry.sequence !== sequence) faults.push(`entry ${entry.sequence} at ${sequence}`);
    const stored = JSON.parse(Buffer.from(entry.bytes).toString()) as StormEntry;
    if (stored.previous !== previous) faults.push(`entry ${sequence} follows another`);
    if (hex(hashOf(entry.bytes)) !== hex(entry.hash)) faults.push(`entry ${sequence} is altered`);
    if (stored.type !== entry.type || stored.commit !== entry.commit) {
      faults.push(`entry ${sequence} has other columns than bytes`);
    }
    previous = hex(entry.hash);
    if (entry.type === TYPES[0]) commits.push(entry.commit);
    else if (commits.at(-1) !== entry.commit) faults.push(`commit ${entry.commit} is not whole`);
    const lines = await store.inlineLines(scope, sequence);
    if (hex(lines ?? new Uint8Array()) !== hex(entry.bytes)) faults.push(`lines of ${sequence}`);
    for (const [ordinal, id] of stored.ids.entries()) {
      const isDeleted = stored.operation === "delete";
      const contentHash = contentHashes([id]);
      latest.get(entry.type)?.set(id, { sequence, ordinal, contentHash, isDeleted });
    }
  }
  const head = await store.head(scope);
  if ((head?.sequence ?? 0) !== sequence || (head && hex(head.lastEntryHash)) !== previous) {
    faults.push(`the head is at ${head?.sequence}, the last entry at ${sequence}`);
  }
  faults.push(...commitFaults(commits, told));
  for (const [type, ids] of latest) faults.push(...(await idFaults(store, scope, type, ids)));
  for (const [index, commit] of commits.entries()) {
    const treeHead = await store.treeHead(scope, (index + 1) * TYPES.length);
    const receipt = await store.receipt(scope, "idempotency", commit);
    if (receipt !== commit || hex(treeHead ?? new Uint8Array()) !== hex(hashOf(commit))) {
      faults.push(`commit ${commit} has lost its receipt or its tree head`);
    }
  }
  return { entries: sequence, faults };
}

interface StormEntry {
  readonly previous: string;
  readonly commit: string;
  readonly type: string;
  readonly operation: string;
  readonly ids: readonly string[];
}

function commitFaults(
  commits: readonly string[],
  told: { readonly tried: ReadonlySet<string>; readonly acknowledged: readonly string[] },
): readonly string[] {
  const found = new Set(commits);
  return [
    ...(found.size === commits.length ? [] : ["a commit is there twice"]),
    ...told.acknowledged.filter((commit) => !found.has(commit)).map((commit) => `lost: ${commit}`),
    ...commits.filter((commit) => !told.tried.has(commit)).map((commit) => `invented: ${commit}`),
  ];
}

async function idFaults(
  store: JournalStore,
  scope: Scope,
  type: string,
  expected: ReadonlyMap<string, IdPosition>,
): Promise<readonly string[]> {
  const ids = [...expected.keys()];
  const found = await store.lookup(scope, type, ids);
  const differs = (at: IdPosition | undefined, id: string): boolean => {
    const wanted = expected.get(id);
    return (
      at?.sequence !== wanted?.sequence ||
      at?.ordinal !== wanted?.ordinal ||
      at?.isDeleted !== wanted?.isDeleted
    );
  };
  const faults = ids.filter((id, index) => differs(found[index], id)).map((id) => `${type} ${id}`);
  const live = [...expected.values()].filter(({ isDeleted }) => !isDeleted).length;
  const count = await store.count(scope, type);
  if (count.live !== live || count.total !== ids.length) {
    faults.push(`${type}: ${count.live} of ${count.total} live, not ${live} of ${ids.length}`);
  }
  return faults;
}

async function* allEntries(store: JournalStore, scope: Scope): AsyncGenerator<StoredEntry> {
  for (let after = 0; ;) {
    const page = await store.entries(scope, { after, limit: 1_000 });
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.sequence;
  }
}

function hashOf(bytes: Uint8Array | string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
