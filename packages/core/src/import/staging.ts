import type { JournalStore, SegmentRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { entryFacts } from "../journal/draft-entry.ts";
import type { DraftEntry, EntryFacts } from "../journal/draft-entry.ts";
import type { CompiledType } from "../records/compiled-type.ts";

/** How much an import does at a time. */
export interface StagingLimits {
  /** Rows decided about together. */
  readonly rowsPerStep: number;
  /** Raw bytes after which a segment is closed and the progress is kept. */
  readonly segmentBytes: number;
}

/** A segment that an import has written, with the entries that will be made of it. */
export interface StagedSegment {
  readonly segment: SegmentRow;
  readonly entries: readonly { readonly facts: EntryFacts; readonly firstLine: number }[];
}

/** How far an import has come: kept after each segment, so that it can go on after an interruption. */
export interface StagingProgress {
  /** Rows of the source that are dealt with. */
  readonly rows: number;
  readonly segments: number;
  /** The journal's last sequence when staging began. */
  readonly sequence: number;
  readonly types: Readonly<
    Record<string, { accepted: number; duplicates: number; rejected: number }>
  >;
  readonly rejections: readonly { readonly at: string; readonly reason: string }[];
  readonly tool?: string;
  readonly toolVersion?: string;
}

/** Staging: the state of an import under way, in the journal store's small named values. */
export class Staging {
  readonly #journal: JournalStore;
  readonly #scope: Scope;
  readonly #prefix: string;
  readonly #types: (name: string) => CompiledType;

  constructor(
    journal: JournalStore,
    scope: Scope,
    parts: { readonly key: string; readonly types: (name: string) => CompiledType },
  ) {
    this.#journal = journal;
    this.#scope = scope;
    this.#prefix = `staging/${parts.key}`;
    this.#types = parts.types;
  }

  async progress(): Promise<StagingProgress | undefined> {
    const text = await this.#journal.state(this.#scope, `${this.#prefix}/progress`);
    return text === undefined ? undefined : (JSON.parse(text) as StagingProgress);
  }

  /** Keeps a written segment, then how far the import has come. */
  async save(
    number: number,
    {
      segment,
      drafts,
      progress,
    }: {
      readonly segment: SegmentRow;
      readonly drafts: readonly DraftEntry[];
      readonly progress: StagingProgress;
    },
  ): Promise<void> {
    let firstLine = 0;
    const entries = drafts.map((draft) => {
      const entry = { ...storedFacts(entryFacts(draft)), firstLine };
      firstLine += draft.ids.length;
      return entry;
    });
    const stored = { segment: { ...segment, hash: hex(segment.hash) }, entries };
    await this.#journal.putState(this.#scope, this.#segmentName(number), JSON.stringify(stored));
    await this.#journal.putState(this.#scope, `${this.#prefix}/progress`, JSON.stringify(progress));
  }

  /** A staged segment by its number, from 0. */
  async segment(number: number): Promise<StagedSegment> {
    const text = await this.#journal.state(this.#scope, this.#segmentName(number));
    const stored = JSON.parse(text ?? "{}") as StoredSegment;
    return {
      segment: { ...stored.segment, hash: Buffer.from(stored.segment.hash, "hex") },
      entries: stored.entries.map(({ firstLine, ...facts }) => ({
        facts: this.#readFacts(facts),
        firstLine,
      })),
    };
  }

  /** Removes all state of the import: first what says that there is any. */
  async clear(segments: number): Promise<void> {
    await this.#journal.putState(this.#scope, `${this.#prefix}/progress`, undefined);
    for (let number = 0; number < segments; number += 1) {
      await this.#journal.putState(this.#scope, this.#segmentName(number), undefined);
    }
  }

  #segmentName(number: number): string {
    return `${this.#prefix}/segment/${String(number).padStart(8, "0")}`;
  }

  #readFacts(stored: StoredFacts): EntryFacts {
    return {
      ...stored,
      type: this.#types(stored.type),
      root: Buffer.from(stored.root, "hex"),
      contentHashes: Buffer.from(stored.contentHashes, "base64"),
    };
  }
}

interface StoredFacts extends Omit<EntryFacts, "type" | "root" | "contentHashes"> {
  readonly type: string;
  readonly root: string;
  readonly contentHashes: string;
}

interface StoredSegment {
  readonly segment: Omit<SegmentRow, "hash"> & { readonly hash: string };
  readonly entries: readonly (StoredFacts & { readonly firstLine: number })[];
}

function storedFacts(facts: EntryFacts): StoredFacts {
  return {
    ...facts,
    type: facts.type.name,
    root: hex(facts.root),
    contentHashes: Buffer.from(facts.contentHashes).toString("base64"),
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
