import type { Receipt } from "@custody/contract/receipt";
import type {
  JournalAppend,
  JournalHead,
  JournalStore,
  JournalTransaction,
  NewEntry,
  SegmentRow,
} from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { Runtime } from "../runtime.ts";
import type { DraftEntry } from "./draft-entry.ts";
import { encodeEntry, entryHash, NO_PREVIOUS } from "./format/entry.ts";
import type { EntrySource } from "./format/entry.ts";
import { leafHash } from "./format/merkle.ts";
import { encodeTreeHead, signTreeHead } from "./format/tree-head.ts";
import type { TreeHeadSigner } from "./format/tree-head.ts";
import { TreeFrontier } from "./format/tree-frontier.ts";

/** A draft and where its lines lie. */
export interface PlacedEntry {
  readonly draft: DraftEntry;
  readonly location: NewEntry["location"];
  /** Seals the lines for their place, when they are kept inline. */
  readonly seal?: (sequence: number) => Uint8Array;
}

/** One commit, written and sealed, that waits for its place in the journal. */
export interface PlacedCommit {
  readonly commit: string;
  readonly entries: readonly PlacedEntry[];
  readonly segments: readonly SegmentRow[];
  readonly source: EntrySource;
  readonly idempotency?: { readonly kind: "import" | "idempotency"; readonly key: string };
  /** Hash of what was asked, kept with the receipt. */
  readonly digest?: string;
  readonly supersedes?: string;
  readonly duplicates: Readonly<Record<string, number>>;
  readonly rejected: Readonly<Record<string, number>>;
  readonly tables: JournalAppend["tables"];
  /**
   * Looks again under the lock whether what was decided still holds; answers a receipt when the same
   * commit has come first, and `stale` when everything must be decided anew.
   */
  readonly recheck: (transaction: JournalTransaction) => Promise<"holds" | "stale" | Receipt>;
}

/** What became of a placed commit. */
export type CommitOutcome =
  | { readonly kind: "committed"; readonly receipt: Receipt }
  | { readonly kind: "replayed"; readonly receipt: Receipt }
  | { readonly kind: "stale" };

interface Waiting {
  readonly scope: Scope;
  readonly placed: PlacedCommit;
  readonly resolve: (outcome: CommitOutcome) => void;
  readonly reject: (cause: unknown) => void;
}

// Commits that share one transaction; more would only make the first of them wait longer.
const GROUP_MAX = 256;

/**
 * Committer: gives commits of a tenant their places, one transaction at a time.
 *
 * What arrives while a transaction is being made durable shares the next one (group commit). The
 * tenant's head row is locked throughout, so sequences have no gap and no reader meets a lower
 * sequence later.
 */
export class Committer {
  readonly #journal: JournalStore;
  readonly #runtime: Runtime;
  readonly #signer: (tenant: string) => Promise<TreeHeadSigner>;
  readonly #waiting: Waiting[] = [];
  #isDraining = false;

  constructor(
    journal: JournalStore,
    runtime: Runtime,
    signer: (tenant: string) => Promise<TreeHeadSigner>,
  ) {
    this.#journal = journal;
    this.#runtime = runtime;
    this.#signer = signer;
  }

  /** Resolves when the commit is durable, or when it turned out stale. */
  submit(scope: Scope, placed: PlacedCommit): Promise<CommitOutcome> {
    const outcome = new Promise<CommitOutcome>((resolve, reject) => {
      this.#waiting.push({ scope, placed, resolve, reject });
    });
    if (!this.#isDraining) void this.#drain();
    return outcome;
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    while (this.#waiting.length > 0) {
      await this.#commitGroup(this.#waiting.splice(0, GROUP_MAX));
    }
    this.#isDraining = false;
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    let transaction: JournalTransaction | undefined;
    const settled = new Map<Waiting, CommitOutcome>();
    const failures = new Map<Waiting, unknown>();
    try {
      transaction = await this.#journal.begin(first.scope);
      const signer = await this.#signer(first.scope.tenant);
      let head = transaction.head;
      for (const waiting of group) {
        try {
          const appended = await this.#append(transaction, head, waiting, signer);
          head = appended.head;
          settled.set(waiting, appended.outcome);
        } catch (cause) {
          failures.set(waiting, cause);
        }
      }
      await transaction.commit();
    } catch (cause) {
      await transaction?.rollback().catch(() => undefined);
      for (const waiting of group) waiting.reject(failures.get(waiting) ?? cause);
      return;
    }
    for (const [waiting, outcome] of settled) waiting.resolve(outcome);
    for (const [waiting, cause] of failures) waiting.reject(cause);
  }

  async #append(
    transaction: JournalTransaction,
    head: JournalHead | undefined,
    { scope, placed }: Waiting,
    signer: TreeHeadSigner,
  ): Promise<{ readonly head: JournalHead | undefined; readonly outcome: CommitOutcome }> {
    const state = await placed.recheck(transaction);
    if (state === "stale") return { head, outcome: { kind: "stale" } };
    if (state !== "holds") return { head, outcome: { kind: "replayed", receipt: state } };
    const chain = new EntryChain(head, this.#runtime);
    for (const entry of placed.entries) chain.add(scope, placed, entry);
    const next = chain.head();
    const signed = await signTreeHead(
      {
        tenant: scope.tenant,
        timeline: next.timeline,
        size: next.sequence,
        root: Buffer.from(chain.frontier.root()).toString("hex"),
        signedAt: next.lastReceivedAt,
      },
      signer,
    );
    const { commit, duplicates, rejected, idempotency } = placed;
    const receipt: Receipt = {
      tenant: scope.tenant,
      timeline: next.timeline,
      commit,
      receivedAt: next.lastReceivedAt,
      entries: chain.receiptEntries,
      duplicates,
      rejected,
      head: signed,
      isReplay: false,
    };
    await transaction.append({
      head: next,
      entries: chain.entries,
      nodes: chain.nodes,
      treeHead: encodeTreeHead(signed),
      segments: placed.segments,
      intents: placed.segments.map(({ segmentId }) => segmentId),
      ...(idempotency === undefined
        ? {}
        : {
            receipt: {
              ...idempotency,
              receipt: JSON.stringify({ ...receipt, digest: placed.digest }),
            },
          }),
      ...(placed.tables === undefined
        ? {}
        : { tables: withSequence(placed.tables, chain.receiptEntries) }),
    });
    return { head: next, outcome: { kind: "committed", receipt } };
  }
}

/** Transactional rows carry the sequence of their entry, which is known only now. */
function withSequence(
  tables: NonNullable<JournalAppend["tables"]>,
  entries: Receipt["entries"],
): NonNullable<JournalAppend["tables"]> {
  return tables.map((table) => {
    const type = table.table.replace("__", "/");
    const sequence = entries.findLast((entry) => entry.type === type)?.sequence ?? 0;
    return { ...table, rows: table.rows.map((row) => ({ ...row, sequence })) };
  });
}

/** Entries being chained onto a head. */
class EntryChain {
  readonly #runtime: Runtime;
  readonly #timeline: string;
  readonly frontier: TreeFrontier;
  readonly entries: NewEntry[] = [];
  readonly nodes: JournalAppend["nodes"][number][] = [];
  readonly receiptEntries: Receipt["entries"][number][] = [];
  #sequence: number;
  #lastHash: Uint8Array | undefined;
  #lastReceivedAt: number;

  constructor(head: JournalHead | undefined, runtime: Runtime) {
    this.#runtime = runtime;
    this.#timeline = head?.timeline ?? Buffer.from(runtime.random(16)).toString("hex");
    this.frontier = new TreeFrontier(head?.sequence ?? 0, head?.frontier ?? new Uint8Array(0));
    this.#sequence = head?.sequence ?? 0;
    this.#lastHash = head?.lastEntryHash;
    this.#lastReceivedAt = head?.lastReceivedAt ?? 0;
  }

  add(scope: Scope, placed: PlacedCommit, entry: PlacedEntry): void {
    const { draft, location, seal } = entry;
    const sequence = this.#sequence + 1;
    const receivedAt = Math.max(this.#runtime.clock(), this.#lastReceivedAt);
    const bytes = encodeEntry({
      timeline: this.#timeline,
      tenant: scope.tenant,
      sequence,
      commit: placed.commit,
      type: draft.type.name,
      typeVersion: draft.type.declaration.version,
      operation: draft.operation,
      count: draft.ids.length,
      root: Buffer.from(draft.root).toString("hex"),
      actor: scope.actor,
      source: placed.source,
      idempotency: placed.idempotency?.key ?? null,
      observedFrom: draft.observedFrom,
      observedTo: draft.observedTo,
      receivedAt,
      previous:
        this.#lastHash === undefined ? NO_PREVIOUS : Buffer.from(this.#lastHash).toString("hex"),
      ...(placed.supersedes === undefined ? {} : { supersedes: placed.supersedes }),
    });
    const hash = entryHash(bytes);
    this.nodes.push(...this.frontier.append(hash), {
      level: 0,
      index: sequence - 1,
      hash: leafHash(hash),
    });
    this.entries.push({
      sequence,
      hash,
      bytes,
      commit: placed.commit,
      type: draft.type.name,
      operation: draft.operation,
      count: draft.ids.length,
      receivedAt,
      location,
      ids: draft.ids,
      contentHashes: draft.contentHashes,
      ...(seal === undefined ? {} : { lines: seal(sequence) }),
    });
    this.receiptEntries.push({
      type: draft.type.name,
      operation: draft.operation,
      sequence,
      entryHash: Buffer.from(hash).toString("hex"),
      accepted: draft.ids.length,
    });
    this.#sequence = sequence;
    this.#lastHash = hash;
    this.#lastReceivedAt = receivedAt;
  }

  head(): JournalHead {
    return {
      timeline: this.#timeline,
      sequence: this.#sequence,
      lastEntryHash: this.#lastHash ?? new Uint8Array(0),
      lastReceivedAt: this.#lastReceivedAt,
      frontier: this.frontier.serialise(),
    };
  }
}
