import type {
  JournalAppend,
  JournalHead,
  JournalStore,
  NewEntry,
  SegmentRow,
  TableWrite,
} from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { decodeEntry, entryHash, NO_PREVIOUS } from "../journal/format/entry.ts";
import type { Entry } from "../journal/format/entry.ts";
import { mappingName } from "../import/import-file.ts";
import type { ImportedMapping } from "../import/import-file.ts";
import { leafHash } from "../journal/format/merkle.ts";
import { decodeTreeHead, requireTreeHead } from "../journal/format/tree-head.ts";
import { TreeFrontier } from "../journal/format/tree-frontier.ts";
import { readTimelines } from "../journal/timelines.ts";
import { TimelineCheck } from "../verify/timeline-check.ts";
import { appendEntries } from "./append-entries.ts";
import type { BackedUpEntry } from "./backup-contents.ts";
import { readBackedUpEntry } from "./restore-entry.ts";
import type { EntryReadingParts, ReadEntry } from "./restore-entry.ts";
import type { SourceLines } from "./restore-lines.ts";
import { tenantOf } from "./restore-source.ts";
import type { RestoreSource } from "./restore-source.ts";

export interface JournalReplayParts extends EntryReadingParts {
  readonly journal: JournalStore;
  readonly source: RestoreSource;
  readonly lines: SourceLines;
}

/** What a replay has brought over in this run. */
export interface Replayed {
  entries: number;
  records: number;
  erased: number;
  keyless: number;
  /** Types that no installed pack declares; their records are kept, and shown once a pack declares them. */
  readonly unknownTypes: Set<string>;
}

// A transaction is made durable after so many records: less would sync more often than it writes, more
// would be held in memory at once.
const RECORDS_PER_TRANSACTION = 5_000;
const ENTRIES_PER_TRANSACTION = 500;

/**
 * JournalReplay: appends the entries of a backed up journal to an empty one, byte for byte, up to a cut.
 *
 * Everything is checked as if by `verify`: chain, tree, signed heads and lines. What is appended in a
 * transaction stays, so a replay that was interrupted goes on behind the last entry that is there.
 */
export class JournalReplay {
  readonly #parts: JournalReplayParts;
  readonly #scope: Scope;
  readonly #replayed: Replayed;
  readonly #catalogued = new Set<string>();
  /** By which mapping and commit files were imported, by the state's name. */
  readonly #imported = new Map<string, ImportedMapping>();
  #head: JournalHead | undefined;
  #frontier = new TreeFrontier();
  #timelines = new TimelineCheck();
  #appends: JournalAppend[] = [];
  #pending: Pending = noPending();
  #weight = 0;

  constructor(parts: JournalReplayParts, scope: Scope, replayed: Replayed) {
    this.#parts = parts;
    this.#scope = scope;
    this.#replayed = replayed;
  }

  /**
   * Replays up to a sequence, which must be the end of a commit.
   *
   * @throws CoreError `damaged` naming the entry that is not what was committed.
   */
  async run(to: number, onEntry: (sequence: number) => void): Promise<JournalHead | undefined> {
    const { journal, keys, source } = this.#parts;
    const { tenant } = this.#scope;
    this.#head = await journal.head(this.#scope);
    const { sequence = 0, frontier } = this.#head ?? {};
    this.#frontier = new TreeFrontier(sequence, frontier);
    const present = await readTimelines(journal, this.#scope);
    this.#timelines = new TimelineCheck(present.map(({ name }) => name));
    const { publicKey } = await keys.signer(tenant);
    if (sequence < to) {
      for await (const entry of source.entries(tenant, { after: sequence, to })) {
        await this.#add(entry, publicKey);
        onEntry(entry.sequence);
      }
    }
    await this.#flush();
    const { sequence: reached = 0 } = this.#head ?? {};
    if (reached !== to || this.#pending.entries.length > 0)
      throw new CoreError("damaged", `the backup of ${tenant} ends at entry ${reached}, not ${to}`);
    this.#requireManifestHead();
    return this.#head;
  }

  async #add(backedUp: BackedUpEntry, publicKey: Uint8Array): Promise<void> {
    const decoded = this.#check(backedUp);
    const lines = await this.#parts.lines.read(this.#scope, backedUp);
    const read = await readBackedUpEntry(this.#parts, this.#scope, backedUp, { decoded, lines });
    const hash = entryHash(backedUp.bytes);
    const { sequence, timeline, receivedAt } = decoded;
    const pending = this.#pending;
    pending.entries.push(read.entry);
    pending.tables.push(...read.tables);
    pending.nodes.push({ level: 0, index: sequence - 1, hash: leafHash(hash) });
    pending.nodes.push(...this.#frontier.append(hash));
    await this.#catalogue(backedUp);
    this.#head = {
      timeline,
      sequence,
      lastEntryHash: hash,
      lastReceivedAt: receivedAt,
      frontier: this.#frontier.serialise(),
    };
    this.#count(decoded, read);
    if (backedUp.treeHead !== undefined) {
      this.#requireHead(backedUp.treeHead, publicKey);
      this.#close(this.#head, backedUp, backedUp.treeHead);
    } else if (backedUp.receipt !== undefined) {
      throw this.#damaged(sequence, "its commit ends there, and no signed head does");
    }
    if (this.#weight >= RECORDS_PER_TRANSACTION || this.#appends.length >= ENTRIES_PER_TRANSACTION)
      await this.#flush();
  }

  /** One append for each signed head, as it was when the entries were first committed. */
  #close(head: JournalHead, { receipt }: BackedUpEntry, treeHead: Uint8Array): void {
    const { tables, ...rest } = this.#pending;
    this.#appends.push({
      ...rest,
      head,
      treeHead,
      intents: [],
      ...(tables.length === 0 ? {} : { tables }),
      ...(receipt === undefined
        ? {}
        : { receipt: { kind: receipt.kind, key: receipt.key, receipt: receipt.text } }),
    });
    this.#weight += rest.entries.reduce((sum, { count }) => sum + count, 0);
    this.#pending = noPending();
  }

  async #flush(): Promise<void> {
    if (this.#appends.length === 0) return;
    // Before the entries, so that an interruption between the two loses none.
    for (const [name, mapping] of this.#imported)
      await this.#parts.journal.putState(this.#scope, name, JSON.stringify(mapping));
    this.#imported.clear();
    await appendEntries(this.#parts.journal, this.#scope, this.#appends);
    this.#appends = [];
    this.#weight = 0;
  }

  async #catalogue(entry: BackedUpEntry): Promise<void> {
    const { journal, lines } = this.#parts;
    const row = await lines.segmentOf(this.#scope, entry);
    if (row === undefined || this.#catalogued.has(row.segmentId)) return;
    this.#catalogued.add(row.segmentId);
    // It may be there from an interrupted run.
    if ((await journal.segment(this.#scope, row.segmentId)) === undefined)
      this.#pending.segments.push(row);
  }

  #check({ sequence, bytes, hash }: BackedUpEntry): Entry {
    const decoded = decodeEntry(bytes);
    const head = this.#head;
    const previous =
      head === undefined ? NO_PREVIOUS : Buffer.from(head.lastEntryHash).toString("hex");
    const last = head?.sequence ?? 0;
    if (Buffer.compare(entryHash(bytes), hash) !== 0)
      throw this.#damaged(sequence, "its bytes are not those that were hashed");
    if (sequence !== last + 1 || decoded.sequence !== sequence || decoded.previous !== previous)
      throw this.#damaged(sequence, "it does not follow the entry before it");
    if (decoded.tenant !== this.#scope.tenant)
      throw this.#damaged(sequence, `it is of tenant ${decoded.tenant}`);
    const wrongTimeline = this.#timelines.pass(decoded, this.#frontier);
    if (wrongTimeline !== undefined) throw this.#damaged(sequence, wrongTimeline);
    if (decoded.receivedAt < (head?.lastReceivedAt ?? 0))
      throw this.#damaged(sequence, "it was received before the entry before it");
    return decoded;
  }

  #requireHead(treeHead: Uint8Array, publicKey: Uint8Array): void {
    const signed = requireTreeHead(decodeTreeHead(treeHead), publicKey);
    const root = Buffer.from(this.#frontier.root()).toString("hex");
    const { sequence = 0, timeline } = this.#head ?? {};
    const isOurs = signed.tenant === this.#scope.tenant && signed.timeline === timeline;
    if (isOurs && signed.size === sequence && signed.root === root) return;
    throw this.#damaged(sequence, "the signed head with it is that of other entries");
  }

  /** The manifest's own head is the last word on what the whole backup holds. */
  #requireManifestHead(): void {
    const known = tenantOf(this.#parts.source, this.#scope.tenant)?.head;
    if (known === undefined || this.#head?.sequence !== known.sequence) return;
    if (Buffer.from(this.#head.lastEntryHash).toString("hex") === known.hash) return;
    throw this.#damaged(known.sequence, "the manifest names another head");
  }

  #count({ type, count, source, commit }: Entry, { erased, keyless }: ReadEntry): void {
    const { importer, fileHash, mappingVersion } = source;
    this.#replayed.entries += 1;
    this.#replayed.records += count;
    this.#replayed.erased += erased;
    this.#replayed.keyless += keyless;
    if (this.#parts.registry.get(type) === undefined) this.#replayed.unknownTypes.add(type);
    if (importer === undefined || fileHash === undefined || mappingVersion === undefined) return;
    const blobKey = `originals/${fileHash}`;
    this.#imported.set(mappingName({ blobKey, importer }), { version: mappingVersion, commit });
  }

  #damaged(sequence: number, reason: string): CoreError {
    const at = `entry ${sequence} of ${this.#scope.tenant}`;
    return new CoreError("damaged", `${at}: ${reason}`, { at });
  }
}

/** Entries since the last signed head. */
interface Pending {
  readonly entries: NewEntry[];
  readonly nodes: JournalAppend["nodes"][number][];
  readonly segments: SegmentRow[];
  readonly tables: TableWrite[];
}

function noPending(): Pending {
  return { entries: [], nodes: [], segments: [], tables: [] };
}
