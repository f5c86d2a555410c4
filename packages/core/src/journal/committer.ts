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
import type { EntryFacts } from "./draft-entry.ts";
import { encodeEntry, entryHash, NO_PREVIOUS } from "./format/entry.ts";
import type { EntrySource } from "./format/entry.ts";
import { leafHash } from "./format/merkle.ts";
import { encodeTreeHead, signTreeHead } from "./format/tree-head.ts";
import type { TreeHeadSigner } from "./format/tree-head.ts";
import { TreeFrontier } from "./format/tree-frontier.ts";

/** An entry to be and where its lines lie. */
export interface PlacedEntry {
  readonly facts: EntryFacts;
  readonly location: NewEntry["location"];
  /** Seals the lines for their place, when they are kept inline. */
  readonly seal?: (sequence: number) => Uint8Array;
}

/** Entries of a commit that are written together, with the segments they lie in. */
export interface PlacedStep {
  readonly entries: readonly PlacedEntry[];
  readonly segments: readonly SegmentRow[];
}

/** One commit, written and sealed, that waits for its place in the journal. */
export interface PlacedCommit {
  readonly commit: string;
  /** Written in steps, so that an import of any size is one commit in bounded memory. */
  readonly steps: readonly PlacedStep[] | AsyncIterable<PlacedStep>;
  /** An import: it gets a transaction of its own. */
  readonly isLarge: boolean;
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
   *
   * @param head with the commits before it in the same transaction, which `transaction.head` lacks.
   */
  readonly recheck: (
    transaction: JournalTransaction,
    head: JournalHead | undefined,
  ) => Promise<"holds" | "stale" | Receipt>;
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

interface Appended {
  readonly head: JournalHead | undefined;
  readonly outcome: CommitOutcome;
}

type Result = Appended | { readonly cause: unknown };

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
      await this.#commitGroup(this.#nextGroup());
    }
    this.#isDraining = false;
  }

  /** The commits that come next and can share a transaction: a large one shares none. */
  #nextGroup(): readonly Waiting[] {
    const large = this.#waiting.findIndex(({ placed }) => placed.isLarge);
    const size = large < 0 ? GROUP_MAX : Math.max(large, 1);
    return this.#waiting.splice(0, Math.min(size, GROUP_MAX));
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    const results = new Map<Waiting, Result>();
    let transaction: JournalTransaction | undefined;
    try {
      transaction = await this.#journal.begin(first.scope);
      const signer = await this.#signer(first.scope.tenant);
      let { head } = transaction;
      for (const waiting of group) {
        const result = await this.#tryAppend(transaction, head, waiting, signer);
        results.set(waiting, result);
        if ("outcome" in result) ({ head } = result);
      }
      await transaction.commit();
    } catch (cause) {
      await transaction?.rollback().catch(() => undefined);
      for (const waiting of group) waiting.reject(cause);
      return;
    }
    for (const [waiting, result] of results) {
      if ("outcome" in result) waiting.resolve(result.outcome);
      else waiting.reject(result.cause);
    }
  }

  /** A commit that fails alone is taken out of its group; the steps of a large one go with the transaction. */
  async #tryAppend(
    transaction: JournalTransaction,
    head: JournalHead | undefined,
    waiting: Waiting,
    signer: TreeHeadSigner,
  ): Promise<Result> {
    try {
      return await this.#append(transaction, head, waiting, signer);
    } catch (cause) {
      if (waiting.placed.isLarge) throw cause;
      return { cause };
    }
  }

  async #append(
    transaction: JournalTransaction,
    head: JournalHead | undefined,
    { scope, placed }: Waiting,
    signer: TreeHeadSigner,
  ): Promise<Appended> {
    const state = await placed.recheck(transaction, head);
    if (state === "stale") return { head, outcome: { kind: "stale" } };
    if (state !== "holds") return { head, outcome: { kind: "replayed", receipt: state } };
    const chain = new EntryChain(head, this.#runtime);
    let pending: PlacedStep | undefined;
    for await (const step of placed.steps) {
      if (pending !== undefined)
        await this.#write(transaction, chain, { scope, placed, signer }, pending);
      pending = step;
    }
    const last = pending ?? { entries: [], segments: [] };
    const receipt = await this.#write(
      transaction,
      chain,
      { scope, placed, signer, isLast: true },
      last,
    );
    return { head: chain.head(), outcome: { kind: "committed", receipt } };
  }

  /** Chains the entries of one step and writes them; the last step also leaves the receipt. */
  async #write(
    transaction: JournalTransaction,
    chain: EntryChain,
    { scope, placed, signer, isLast = false }: WriteParts,
    step: PlacedStep,
  ): Promise<Receipt> {
    const batch = step.entries.map((entry) => chain.add(scope, placed, entry));
    const head = chain.head();
    const signed = await signTreeHead(
      {
        tenant: scope.tenant,
        timeline: head.timeline,
        size: head.sequence,
        root: Buffer.from(chain.frontier.root()).toString("hex"),
        signedAt: head.lastReceivedAt,
      },
      signer,
    );
    const { commit, duplicates, rejected, idempotency, digest, tables } = placed;
    const receipt: Receipt = {
      tenant: scope.tenant,
      timeline: head.timeline,
      commit,
      receivedAt: head.lastReceivedAt,
      entries: chain.receiptEntries,
      duplicates,
      rejected,
      head: signed,
      isReplay: false,
    };
    const kept = { ...idempotency, receipt: JSON.stringify({ ...receipt, digest }) };
    await transaction.append({
      head,
      entries: batch.map(({ entry }) => entry),
      nodes: batch.flatMap(({ nodes }) => nodes),
      treeHead: encodeTreeHead(signed),
      segments: step.segments,
      intents: step.segments.map(({ segmentId }) => segmentId),
      ...(idempotency === undefined || !isLast ? {} : { receipt: { ...idempotency, ...kept } }),
      ...(tables === undefined || !isLast
        ? {}
        : { tables: withSequence(tables, chain.receiptEntries) }),
    });
    return receipt;
  }
}

interface WriteParts {
  readonly scope: Scope;
  readonly placed: PlacedCommit;
  readonly signer: TreeHeadSigner;
  readonly isLast?: boolean;
}

/**
 * Transactional rows carry the sequence of their entry, which is known only now: the writes of a table
 * are in the order of its type's entries.
 */
function withSequence(
  tables: NonNullable<JournalAppend["tables"]>,
  entries: Receipt["entries"],
): NonNullable<JournalAppend["tables"]> {
  const byType = Map.groupBy(entries, ({ type }) => type);
  const counts = new Map<string, number>();
  return tables.map((table) => {
    const type = table.table.replace("__", "/");
    const count = counts.get(type) ?? 0;
    counts.set(type, count + 1);
    const sequence = byType.get(type)?.[count]?.sequence ?? 0;
    return { ...table, rows: table.rows.map((row) => ({ ...row, sequence })) };
  });
}

interface ChainedEntry {
  readonly entry: NewEntry;
  readonly nodes: JournalAppend["nodes"];
}

/** Entries being chained onto a head. */
class EntryChain {
  readonly #runtime: Runtime;
  readonly #timeline: string;
  readonly frontier: TreeFrontier;
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

  add(scope: Scope, placed: PlacedCommit, entry: PlacedEntry): ChainedEntry {
    const { facts, location, seal } = entry;
    const sequence = this.#sequence + 1;
    const receivedAt = Math.max(this.#runtime.clock(), this.#lastReceivedAt);
    const bytes = encodeEntry({
      timeline: this.#timeline,
      tenant: scope.tenant,
      sequence,
      commit: placed.commit,
      type: facts.type.name,
      typeVersion: facts.typeVersion,
      operation: facts.operation,
      count: facts.ids.length,
      root: Buffer.from(facts.root).toString("hex"),
      actor: scope.actor,
      source: placed.source,
      idempotency: placed.idempotency?.key ?? null,
      observedFrom: facts.observedFrom,
      observedTo: facts.observedTo,
      receivedAt,
      previous:
        this.#lastHash === undefined ? NO_PREVIOUS : Buffer.from(this.#lastHash).toString("hex"),
      ...(placed.supersedes === undefined ? {} : { supersedes: placed.supersedes }),
    });
    const hash = entryHash(bytes);
    const leaf = { level: 0, index: sequence - 1, hash: leafHash(hash) };
    const nodes = [leaf, ...this.frontier.append(hash)];
    const chained: NewEntry = {
      sequence,
      hash,
      bytes,
      commit: placed.commit,
      type: facts.type.name,
      operation: facts.operation,
      count: facts.ids.length,
      receivedAt,
      location,
      ids: facts.ids,
      contentHashes: facts.contentHashes,
      ...(seal === undefined ? {} : { lines: seal(sequence) }),
    };
    this.receiptEntries.push({
      type: facts.type.name,
      operation: facts.operation,
      sequence,
      entryHash: Buffer.from(hash).toString("hex"),
      accepted: facts.ids.length,
    });
    this.#sequence = sequence;
    this.#lastHash = hash;
    this.#lastReceivedAt = receivedAt;
    return { entry: chained, nodes };
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
