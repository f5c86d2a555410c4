import { hash } from "node:crypto";

import { checkTenant, uuidV7 } from "@custody/contract/ids";
import { canonicalJson } from "@custody/contract/json";
import type { Receipt, SignedTreeHead } from "@custody/contract/receipt";
import type {
  JournalHead,
  JournalStore,
  JournalTransaction,
} from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { keyedHash } from "../keys/keyed-hash.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import type { Admission } from "./admission.ts";
import type { CommitOptions, CommitPart, Rejection } from "./commit-request.ts";
import { Committer } from "./committer.ts";
import type { CommitOutcome, PlacedCommit, PlacedEntry, PlacedStep } from "./committer.ts";
import { CommitDecider } from "./decide-commit.ts";
import type { Decision, PreparedPart } from "./decide-commit.ts";
import type { DiskRoom } from "./disk-room.ts";
import { draftBatch } from "./draft-entry.ts";
import type { DraftEntry } from "./draft-entry.ts";
import { releaseLines } from "./format/lines.ts";
import { EMPTY_ROOT } from "./format/merkle.ts";
import { decodeTreeHead, signTreeHead } from "./format/tree-head.ts";
import type { JournalReader } from "./journal-reader.ts";
import type { LineStore } from "./line-store.ts";
import type { FieldSealer } from "./seal-records.ts";
import { tableWrites } from "./table-writes.ts";

export interface JournalParts {
  readonly registry: TypeRegistry;
  readonly store: JournalStore;
  readonly lines: LineStore;
  readonly reader: JournalReader;
  readonly keys: KeyService;
  readonly sealer: FieldSealer;
  readonly runtime: Runtime;
  readonly admission: Admission;
  readonly room: DiskRoom;
  /** Told after each commit. */
  readonly onCommit: (scope: Scope, receipt: Receipt) => void;
}

/** What a commit came to. */
export interface CommitResult {
  readonly receipt: Receipt;
  readonly rejections: readonly Rejection[];
}

// Lines of up to this many bytes stay in the entry's row: one durable write fewer for a small commit.
const INLINE_BYTES_MAX = 32 * 1024;
// A commit that finds the journal changed under it decides anew this often before giving up.
const ATTEMPTS_MAX = 8;

/** Journal: takes commits, gives them their place, and answers when they are durable. */
export class Journal {
  readonly #parts: JournalParts;
  readonly #decider: CommitDecider;
  readonly #committers = new Map<string, Committer>();

  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.#decider = new CommitDecider(parts);
  }

  /**
   * Commits records of one or more types: all of them, or none.
   *
   * @param kind `own` for what Custody writes of itself, which is not kept out when others are.
   * @throws CoreError `invalid`, `conflict`, `usage`, `busy`; StoreError `full`, `unavailable`,
   *   `read-only`.
   */
  async commit(
    scope: Scope,
    parts: readonly CommitPart[],
    options: CommitOptions = {},
    kind: "asked" | "own" = "asked",
  ): Promise<CommitResult> {
    checkTenant(scope.tenant);
    const admitted = this.#parts.admission.enter(kind);
    let outcome: "done" | "given up" = "given up";
    try {
      const prepared = await this.#prepare(scope, parts, options);
      admitted.weigh(recordBytes(prepared));
      const result = await this.#decided(scope, prepared, options, kind);
      outcome = "done";
      return result;
    } finally {
      admitted.leave(outcome);
    }
  }

  async #prepare(
    scope: Scope,
    parts: readonly CommitPart[],
    options: CommitOptions,
  ): Promise<readonly PreparedPart[]> {
    const hashKey = await this.#parts.keys.hashKey(scope.tenant);
    return parts.map((part) => this.#decider.prepare(scope, part, options, hashKey));
  }

  async #decided(
    scope: Scope,
    prepared: readonly PreparedPart[],
    options: CommitOptions,
    kind: "asked" | "own",
  ): Promise<CommitResult> {
    const hashKey = await this.#parts.keys.hashKey(scope.tenant);
    const request = requestKey(prepared, options, hashKey);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const result = await this.#attempt(scope, prepared, options, { request, kind });
      if (result !== undefined) return result;
    }
    throw new CoreError(
      "conflict",
      "other writers kept changing the same records; repeat the commit",
    );
  }

  async #attempt(
    scope: Scope,
    prepared: readonly PreparedPart[],
    options: CommitOptions,
    { request, kind }: { readonly request: RequestKey | undefined; readonly kind: "asked" | "own" },
  ): Promise<CommitResult | undefined> {
    const { store, room } = this.#parts;
    const earlier = request && (await store.receipt(scope, "idempotency", request.key));
    if (request !== undefined && earlier !== undefined) {
      return { receipt: replay(earlier, request.digest), rejections: [] };
    }
    // What was committed before is answered without room, and deletions make some.
    const bytes = recordBytes(prepared);
    using _ = kind === "asked" && bytes > 0 ? await room.hold(bytes) : undefined;
    const decision = await this.#decider.decide(scope, prepared, options);
    if (decision.drafts.length === 0) return await this.#nothingNew(scope, decision);
    const { placed, segments } = await this.#place(scope, decision, options, request);
    for (const { lines } of decision.drafts) releaseLines(lines);
    const outcome = await this.submit(scope, placed);
    if (outcome.kind !== "committed") {
      await this.#parts.lines.abandon(scope, segments);
      return outcome.kind === "stale" ? undefined : { receipt: outcome.receipt, rejections: [] };
    }
    this.#handOver(scope, decision.drafts, outcome.receipt);
    return { receipt: outcome.receipt, rejections: decision.rejections };
  }

  /** Takes a commit whose lines are written already: an import. */
  async submit(scope: Scope, placed: PlacedCommit): Promise<CommitOutcome> {
    return this.#committer(scope.tenant).submit(scope, placed);
  }

  /** Tells what was committed, so that projectors begin. */
  announce(scope: Scope, receipt: Receipt): void {
    this.#parts.onCommit(scope, receipt);
  }

  /** The receipt of a commit that holds nothing that was not there: no entry, and the head as it is. */
  async #nothingNew(scope: Scope, decision: Decision): Promise<CommitResult> {
    const { runtime } = this.#parts;
    const head = await this.head(scope);
    const receipt: Receipt = {
      tenant: scope.tenant,
      timeline: head.timeline,
      commit: uuidV7(runtime.clock(), runtime.random(10)),
      receivedAt: runtime.clock(),
      entries: [],
      duplicates: decision.duplicates,
      rejected: decision.rejected,
      head,
      isReplay: false,
    };
    return { receipt, rejections: decision.rejections };
  }

  /** The tenant's latest signed head; of an empty journal, one signed now. */
  async head(scope: Scope): Promise<SignedTreeHead> {
    const { store, keys, runtime } = this.#parts;
    const stored = await store.treeHead(scope);
    if (stored !== undefined) return decodeTreeHead(stored);
    const root = Buffer.from(EMPTY_ROOT).toString("hex");
    const empty = { tenant: scope.tenant, timeline: "0".repeat(32), size: 0, root };
    return signTreeHead({ ...empty, signedAt: runtime.clock() }, await keys.signer(scope.tenant));
  }

  /** Gives the decoded records to the projectors, so that none of them reads a segment back. */
  #handOver(scope: Scope, drafts: readonly DraftEntry[], receipt: Receipt): void {
    for (const [index, draft] of drafts.entries()) {
      const sequence = receipt.entries[index]?.sequence ?? 0;
      const batch = draftBatch(draft, sequence);
      this.#parts.reader.recent.put(scope.tenant, { type: draft.type.name, sequence, batch });
    }
    this.#parts.onCommit(scope, receipt);
  }

  async #place(
    scope: Scope,
    decision: Decision,
    options: CommitOptions,
    request: RequestKey | undefined,
  ): Promise<{ readonly placed: PlacedCommit; readonly segments: PlacedStep["segments"] }> {
    const { runtime, lines } = this.#parts;
    const bytes = decision.drafts.reduce(
      (sum, { lines: { offsets } }) => sum + (offsets.at(-1) ?? 0),
      0,
    );
    const step =
      bytes <= INLINE_BYTES_MAX
        ? { entries: await this.#inline(scope, decision.drafts), segments: [] }
        : await inSegment(lines, scope, decision.drafts);
    const placed: PlacedCommit = {
      commit: uuidV7(runtime.clock(), runtime.random(10)),
      steps: [step],
      isLarge: false,
      source: options.source ?? {},
      ...(request === undefined
        ? {}
        : {
            idempotency: { kind: "idempotency", key: request.key } as const,
            digest: request.digest,
          }),
      ...(options.corrects === undefined ? {} : { supersedes: options.corrects }),
      duplicates: decision.duplicates,
      rejected: decision.rejected,
      tables: tableWrites(decision.rows),
      recheck: (transaction, head) => recheck(transaction, { head, decision, request }),
    };
    return { placed, segments: step.segments };
  }

  async #inline(scope: Scope, drafts: readonly DraftEntry[]): Promise<readonly PlacedEntry[]> {
    const entries: PlacedEntry[] = [];
    for (const draft of drafts) {
      const seal = await this.#parts.lines.packInline(scope, draft.lines);
      entries.push({ facts: draft, location: { kind: "inline" }, seal });
    }
    return entries;
  }

  #committer(tenant: string): Committer {
    let committer = this.#committers.get(tenant);
    if (committer === undefined) {
      const { store, runtime, keys } = this.#parts;
      committer = new Committer(store, runtime, (name) => keys.signer(name));
      this.#committers.set(tenant, committer);
    }
    return committer;
  }
}

function recordBytes(prepared: readonly PreparedPart[]): number {
  let bytes = 0;
  for (const { records } of prepared)
    for (const record of records) bytes += record.bytes.byteLength;
  return bytes;
}

async function inSegment(
  lines: LineStore,
  scope: Scope,
  drafts: readonly DraftEntry[],
): Promise<PlacedStep> {
  const row = await lines.writeSegment(scope, drafts);
  let firstLine = 0;
  const entries = drafts.map((draft): PlacedEntry => {
    const location = { kind: "segment", segmentId: row.segmentId, firstLine } as const;
    firstLine += draft.ids.length;
    return { facts: draft, location };
  });
  return { entries, segments: [row] };
}

/** Under the lock: has the same commit come first, or has any of the ids moved since it was looked up? */
async function recheck(
  transaction: JournalTransaction,
  {
    head,
    decision,
    request,
  }: {
    readonly head: JournalHead | undefined;
    readonly decision: Decision;
    readonly request: RequestKey | undefined;
  },
): Promise<"holds" | "stale" | Receipt> {
  if (request !== undefined) {
    const earlier = await transaction.receipt("idempotency", request.key);
    if (earlier !== undefined) return replay(earlier, request.digest);
  }
  if ((head?.sequence ?? 0) === decision.sequence) return "holds";
  for (const { type, ids, positions } of decision.looked) {
    const now = await transaction.lookup(type, ids);
    if (now.some((position, index) => position?.sequence !== positions[index]?.sequence))
      return "stale";
  }
  return "holds";
}

interface RequestKey {
  readonly key: string;
  /** Hash of what was asked, so that a key used for something else is noticed. */
  readonly digest: string;
}

function requestKey(
  prepared: readonly PreparedPart[],
  options: CommitOptions,
  hashKey: Uint8Array,
): RequestKey | undefined {
  if (options.idempotencyKey === undefined) return undefined;
  const asked = prepared.map(({ type, records, deletes }) => [
    type.name,
    "generated" in type.declaration.id ? [] : records.map(({ id }) => id),
    records.map(({ contentHash }) => Buffer.from(contentHash).toString("hex")),
    deletes,
  ]);
  return {
    key: Buffer.from(keyedHash(hashKey, "idempotency", options.idempotencyKey)).toString("hex"),
    digest: hash("sha256", canonicalJson(asked), "hex"),
  };
}

function replay(stored: string, digest: string): Receipt {
  const receipt = JSON.parse(stored) as Receipt & { readonly digest?: string };
  if (receipt.digest !== undefined && receipt.digest !== digest) {
    throw new CoreError(
      "conflict",
      "this idempotency key was used for another commit; choose a new one",
    );
  }
  const { digest: _, ...rest } = receipt;
  return { ...rest, isReplay: true };
}
