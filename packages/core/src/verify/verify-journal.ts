import { decodeTreeHead, requireTreeHead } from "../journal/format/tree-head.ts";
import { TreeFrontier } from "../journal/format/tree-frontier.ts";
import { decodeEntry, entryHash, NO_PREVIOUS } from "../journal/format/entry.ts";
import type { Entry } from "../journal/format/entry.ts";
import { decodeLine } from "../journal/format/line.ts";
import { lineAt, lineCount } from "../journal/format/lines.ts";
import type { Lines } from "../journal/format/lines.ts";
import { isSamePlace } from "../journal/journal-reader.ts";
import { leafHashes, merkleRoot } from "../journal/format/merkle.ts";
import { createHash } from "node:crypto";

import type { BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import type { JournalStore, SegmentRow, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { VerifyReport } from "../reports.ts";
import { CoreError } from "../errors.ts";
import type { LineStore } from "../journal/line-store.ts";
import type { KeyService } from "../keys/key-service.ts";
import { TimelineCheck } from "./timeline-check.ts";

export interface VerifyParts {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  readonly lines: LineStore;
  readonly keys: KeyService;
}

/** Numbers of what was checked, while it is being checked. */
type Checked = { -readonly [Name in keyof VerifyReport["checked"]]: VerifyReport["checked"][Name] };

type Fault = NonNullable<VerifyReport["fault"]>;

const ENTRIES_PER_STEP = 256;
const HEADS_PER_STEP = 512;

/** The first thing found wrong ends the check. */
class FaultFound extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.reason);
    this.fault = fault;
  }
}

/**
 * Checks the journals of tenants from the first byte to the last: files, lines, entries, chain, tree,
 * signatures, and the columns and the id index by which they are found.
 */
export async function verifyJournals(
  parts: VerifyParts,
  scopes: readonly Scope[],
  onProgress: (done: number, of: number) => void,
): Promise<VerifyReport> {
  const checked: Checked = {
    tenants: 0,
    entries: 0,
    records: 0,
    segments: 0,
    treeHeads: 0,
    bytes: 0,
  };
  try {
    for (const scope of scopes) {
      await new TenantCheck(parts, scope, checked).run(onProgress);
      checked.tenants += 1;
    }
    return { ok: true, checked };
  } catch (cause) {
    if (cause instanceof FaultFound) return { ok: false, checked, fault: cause.fault };
    throw cause;
  }
}

interface SignedPoint {
  readonly root: string;
  readonly timeline: string;
}

class TenantCheck {
  readonly #parts: VerifyParts;
  readonly #scope: Scope;
  readonly #checked: Checked;
  readonly #frontier = new TreeFrontier();
  /** The signed heads by their sizes, compared as the chain grows. */
  readonly #heads = new Map<number, SignedPoint>();
  readonly #timelines = new TimelineCheck();
  #previous = NO_PREVIOUS;
  #receivedAt = 0;

  constructor(parts: VerifyParts, scope: Scope, checked: Checked) {
    this.#parts = parts;
    this.#scope = scope;
    this.#checked = checked;
  }

  async run(onProgress: (done: number, of: number) => void): Promise<void> {
    const { journal } = this.#parts;
    await this.#guard("index", "the journal's store", () => journal.check());
    // What is committed while this runs is left to the next check.
    const head = await journal.head(this.#scope);
    const total = head?.sequence ?? 0;
    await this.#checkHeads(total);
    await this.#checkSegments();
    let after = 0;
    for (;;) {
      const entries = await journal.entries(this.#scope, { after, limit: ENTRIES_PER_STEP });
      for (const entry of entries) {
        if (after === total && (await this.#hasGrown(total))) break;
        after += 1;
        if (entry.sequence !== after) throw this.#fault("entry", `entry ${after}`, "it is missing");
        await this.#checkEntry(entry);
        onProgress(after, total);
      }
      if (entries.length < ENTRIES_PER_STEP || after === total) break;
    }
    this.#checkEnd(head, after);
  }

  /** Whether entries were committed since the check began; else one more than the head row tells is a fault. */
  async #hasGrown(total: number): Promise<boolean> {
    return ((await this.#parts.journal.head(this.#scope))?.sequence ?? 0) > total;
  }

  /** The chain must end where the head row says, and the last signed head must cover all of it. */
  #checkEnd(head: Awaited<ReturnType<JournalStore["head"]>>, entries: number): void {
    if (head === undefined && entries === 0) return;
    const lastHash = Buffer.from(head?.lastEntryHash ?? new Uint8Array(0)).toString("hex");
    if (head?.sequence !== entries || lastHash !== this.#previous) {
      throw this.#fault(
        "entry",
        `entry ${head?.sequence ?? entries + 1}`,
        `the journal should end there and ends at ${entries}`,
      );
    }
    if (head.timeline !== this.#timelines.present)
      throw this.#fault("index", "the head row", "its timeline is not that of the last entry");
    if (Buffer.compare(head.frontier, this.#frontier.serialise()) !== 0) {
      throw this.#fault("index", "the head row", "its tree is not that of the entries");
    }
    if (!this.#heads.has(entries)) {
      throw this.#fault(
        "tree-head",
        `tree head at size ${entries}`,
        "the latest entries are not covered by a signed head",
      );
    }
    for (const size of this.#heads.keys()) {
      if (size > entries)
        throw this.#fault("tree-head", `tree head at size ${size}`, "entries it signed are gone");
    }
  }

  async #checkHeads(total: number): Promise<void> {
    const { journal, keys } = this.#parts;
    const { publicKey } = await keys.signer(this.#scope.tenant);
    let after = 0;
    for (;;) {
      const heads = await journal.treeHeads(this.#scope, after, HEADS_PER_STEP);
      for (const bytes of heads) {
        const head = await this.#guard("tree-head", `a tree head after size ${after}`, () =>
          requireTreeHead(decodeTreeHead(bytes), publicKey),
        );
        if (head.tenant !== this.#scope.tenant || head.size <= after) {
          throw this.#fault(
            "tree-head",
            `tree head at size ${head.size}`,
            "it is another tenant's or out of order",
          );
        }
        if (head.size > total && (await this.#hasGrown(head.size - 1))) return;
        this.#heads.set(head.size, { root: head.root, timeline: head.timeline });
        after = head.size;
        this.#checked.treeHeads += 1;
      }
      if (heads.length < HEADS_PER_STEP) return;
    }
  }

  /** Every byte of every segment file, against the catalogue's hash; the seals follow with the lines. */
  async #checkSegments(): Promise<void> {
    const { journal } = this.#parts;
    let after: string | undefined;
    for (;;) {
      const rows = await journal.segments(this.#scope, after, ENTRIES_PER_STEP);
      for (const row of rows) {
        const fault = await this.#segmentFault(row);
        after = row.segmentId;
        // A compaction may have just moved what lay in it.
        if (fault === undefined) this.#checked.segments += 1;
        else if (!(await this.#isDropped(row)))
          throw this.#fault("segment", `segment ${row.segmentId}`, fault);
      }
      if (rows.length < ENTRIES_PER_STEP) return;
    }
  }

  /** What is wrong with a segment's file; `undefined` when its bytes are those that were committed. */
  async #segmentFault(row: SegmentRow): Promise<string | undefined> {
    const stream = await this.#parts.blob.stream(this.#scope, row.blobKey);
    if (stream === undefined) return `its file ${row.blobKey} is gone`;
    const hash = createHash("sha256");
    for await (const chunk of stream) {
      hash.update(chunk);
      this.#checked.bytes += chunk.byteLength;
    }
    return hash.digest().equals(row.hash) ? undefined : this.#whichBlock(row.segmentId);
  }

  /** Whether a compaction has just moved what lay in a segment. */
  async #isDropped({ segmentId }: SegmentRow): Promise<boolean> {
    return (await this.#parts.journal.segment(this.#scope, segmentId)) === undefined;
  }

  /** The lines of an entry; when a compaction has just moved them, from where they lie now. */
  async #readLines(stored: StoredEntry): Promise<Lines> {
    const { lines, journal } = this.#parts;
    try {
      return await lines.readLines(this.#scope, stored);
    } catch (cause) {
      if (!(cause instanceof CoreError) || cause.code !== "damaged") throw cause;
      const now = await journal.entry(this.#scope, stored.sequence);
      if (now === undefined || isSamePlace(now, stored)) throw cause;
      lines.forget();
      return lines.readLines(this.#scope, now);
    }
  }

  /** Reads an altered segment block by block, to say which one is wrong. */
  async #whichBlock(segmentId: string): Promise<string> {
    try {
      const segment = await this.#parts.lines.openSegment(this.#scope, segmentId);
      for (let number = 0; number < segment.blocks.length; number += 1)
        await segment.readBlock(number);
      return "its bytes are not those that were committed";
    } catch (cause) {
      return cause instanceof Error ? cause.message : String(cause);
    }
  }

  async #checkEntry(stored: StoredEntry): Promise<void> {
    const at = `entry ${stored.sequence}`;
    const hash = entryHash(stored.bytes);
    if (Buffer.compare(hash, stored.hash) !== 0) {
      throw this.#fault("entry", at, "its bytes are not those that were hashed");
    }
    const entry = await this.#guard("entry", at, () => decodeEntry(stored.bytes));
    this.#checkChain(at, stored, entry);
    const wrongTimeline = this.#timelines.pass(entry, this.#frontier);
    if (wrongTimeline !== undefined) throw this.#fault("entry", at, wrongTimeline);
    this.#previous = Buffer.from(hash).toString("hex");
    this.#receivedAt = entry.receivedAt;
    this.#frontier.append(hash);
    this.#checkHead();
    await this.#checkLines(at, stored, entry);
    this.#checked.entries += 1;
    this.#checked.records += entry.count;
  }

  /** That the signed head of the tree's present size, where there is one, is that of these entries. */
  #checkHead(): void {
    const { size } = this.#frontier;
    const signed = this.#heads.get(size);
    if (signed === undefined) return;
    const at = `tree head at size ${size}`;
    if (signed.root !== Buffer.from(this.#frontier.root()).toString("hex"))
      throw this.#fault("tree-head", at, "it signs another tree than that of the entries");
    if (signed.timeline !== this.#timelines.present)
      throw this.#fault("tree-head", at, "it is of another timeline than the entry it ends with");
  }

  #checkChain(at: string, stored: StoredEntry, entry: Entry): void {
    const wrong = (reason: string): FaultFound => this.#fault("entry", at, reason);
    if (entry.previous !== this.#previous) throw wrong("it does not follow the entry before it");
    if (entry.tenant !== this.#scope.tenant) throw wrong(`it is of tenant ${entry.tenant}`);
    if (entry.sequence !== stored.sequence) throw wrong(`its bytes say sequence ${entry.sequence}`);
    if (entry.receivedAt < this.#receivedAt)
      throw wrong("it was received before the entry before it");
    const columns = ["commit", "type", "operation", "count", "receivedAt"] as const;
    for (const column of columns) {
      if (stored[column] !== entry[column])
        throw wrong(`its column ${column} is not what its bytes say`);
    }
  }

  async #checkLines(at: string, stored: StoredEntry, entry: Entry): Promise<void> {
    const { journal } = this.#parts;
    const lines = await this.#guard("segment", at, () => this.#readLines(stored));
    if (lineCount(lines) !== entry.count)
      throw this.#fault("entry", at, "it has another number of lines");
    if (Buffer.from(merkleRoot(leafHashes(lines))).toString("hex") !== entry.root) {
      throw this.#fault("segment", at, "its lines are not those that were hashed");
    }
    const ids: string[] = [];
    for (let index = 0; index < entry.count; index += 1) {
      ids.push((await this.#guard("segment", at, () => decodeLine(lineAt(lines, index)))).id);
    }
    const keys = ids.map((id) => ({ id, sequence: stored.sequence + 1 }));
    const positions = await journal.lookupBefore(this.#scope, entry.type, keys);
    for (const [ordinal, position] of positions.entries()) {
      if (position?.sequence !== stored.sequence || position.ordinal !== ordinal) {
        throw this.#fault("index", at, `the id index does not lead to its line ${ordinal}`);
      }
    }
  }

  async #guard<Result>(
    kind: string,
    at: string,
    work: () => Promise<Result> | Result,
  ): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      const isDamage =
        (cause instanceof CoreError && cause.code === "damaged") ||
        (cause instanceof StoreError && cause.code === "corrupt");
      if (!isDamage) throw cause;
      throw this.#fault(kind, at, cause.message);
    }
  }

  #fault(kind: string, at: string, reason: string): FaultFound {
    return new FaultFound({ tenant: this.#scope.tenant, kind, at, reason });
  }
}
