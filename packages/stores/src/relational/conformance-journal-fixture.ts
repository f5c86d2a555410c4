import { createHash } from "node:crypto";

import type { Scope } from "../scope.ts";
import { scopeFor } from "../testing/scope.ts";
import type {
  JournalAppend,
  JournalHead,
  JournalStore,
  JournalTransaction,
  NewEntry,
} from "./journal.ts";

/** What an engine's test hands to the suite. */
export interface JournalFixture extends AsyncDisposable {
  readonly store: JournalStore;
  /** Closes the store, if it is open, and opens it again on the same data. */
  reopen(): Promise<JournalStore>;
  /** A JavaScript expression that a child process awaits to get a store on the same data. */
  readonly childStore: string;
  /** Faults the engine can be put into; each is called after the store has data. */
  readonly faults?: {
    /** Damages the stored data. */
    readonly corrupt?: () => Promise<void>;
    /** Reopens the store with room for some megabytes more. */
    readonly full?: () => Promise<JournalStore>;
    readonly readOnly?: (work: () => Promise<void>) => Promise<void>;
    readonly lock?: (work: () => Promise<void>) => Promise<void>;
  };
}

/** The tenant that most tests use. */
export const TENANT_A: Scope = scopeFor("tenant-a");

/** 32 bytes that differ by text. */
export function hashOf(text: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(text).digest());
}

/** 16 bytes for each id. */
export function contentHashes(ids: readonly string[]): Uint8Array {
  return Uint8Array.from(
    Buffer.concat(ids.map((id) => hashOf(`content of ${id}`).subarray(0, 16))),
  );
}

/** What differs between the entries of tests. */
export interface TestEntry extends Partial<Omit<NewEntry, "ids">> {
  readonly ids?: readonly string[];
}

/** The entry that follows sequence `last`. */
export function entryAfter(last: number, entry: TestEntry = {}): NewEntry {
  const sequence = last + 1;
  const ids = entry.ids ?? [];
  return {
    sequence,
    hash: hashOf(`entry ${sequence}`),
    bytes: hashOf(`bytes ${sequence}`),
    commit: `commit-${sequence}`,
    type: "lab/sample",
    operation: "put",
    count: ids.length,
    receivedAt: 1_000 + sequence,
    location: { kind: "inline" },
    contentHashes: contentHashes(ids),
    ...entry,
    ids,
  };
}

/** A commit of entries that follow a head. */
export function commitAfter(
  head: JournalHead | undefined,
  entries: readonly TestEntry[],
  more: Partial<JournalAppend> = {},
): JournalAppend {
  const last = head?.sequence ?? 0;
  const next = entries.map((entry, index) => entryAfter(last + index, entry));
  const sequence = last + entries.length;
  return {
    head: {
      timeline: "timeline-1",
      sequence,
      lastEntryHash: hashOf(`entry ${sequence}`),
      lastReceivedAt: 1_000 + sequence,
      frontier: hashOf(`frontier ${sequence}`),
    },
    entries: next,
    nodes: next.map((entry) => ({ level: 0, index: entry.sequence - 1, hash: entry.hash })),
    treeHead: hashOf(`tree ${sequence}`),
    segments: [],
    intents: [],
    ...more,
  };
}

/** Commits entries in a transaction of their own; answers the new head. */
export async function commitEntries(
  store: JournalStore,
  entries: readonly TestEntry[],
  options: Partial<JournalAppend> & { readonly scope?: Scope } = {},
): Promise<JournalHead> {
  const { scope = TENANT_A, ...more } = options;
  const transaction = await store.begin(scope);
  const commit = commitAfter(transaction.head, entries, more);
  await endWith(transaction, () => transaction.append(commit));
  return commit.head;
}

/** Commits after the work, or rolls back what it threw in. */
export async function endWith(
  transaction: JournalTransaction,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (cause) {
    await transaction.rollback();
    throw cause;
  }
  await transaction.commit();
}
