import { parseJson, stringifyJson } from "@custody/contract/json";
import type { RecordType } from "@custody/contract/record-type";
import type { IdPosition, JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import { BoundedMap } from "./bounded-map.ts";
import { joinBytes } from "./entry-records.ts";
import type { EntryRecords } from "./entry-records.ts";
import { decodeEntry } from "./format/entry.ts";
import { decodeLine } from "./format/line.ts";
import type { DecodedLine } from "./format/line.ts";
import { lineAt, lineCount } from "./format/lines.ts";
import type { LineStore } from "./line-store.ts";
import { RecentEntries } from "./recent-entries.ts";
import type { FieldOpener } from "./seal-records.ts";

export interface JournalReaderParts {
  readonly journal: JournalStore;
  readonly lines: LineStore;
  readonly registry: TypeRegistry;
  readonly opener: FieldOpener;
  readonly recentBytesMax: number;
}

/** A record read from the journal, as of one version. */
export interface JournalRecord {
  readonly entry: StoredEntry;
  readonly line: DecodedLine;
  /** The fields as JSON text, opened and brought to the type's present version. */
  readonly text: string;
}

/** A record's fields (UTF-8 JSON) as of an earlier entry. */
export interface EarlierVersion {
  readonly text: Uint8Array;
  readonly sequence: number;
}

/** JournalReader: entries as records, opened and brought to their type's present version. */
export class JournalReader {
  readonly #parts: JournalReaderParts;
  readonly recent: RecentEntries;
  readonly #entries = new BoundedMap<string, StoredEntry>(256);

  constructor(parts: JournalReaderParts) {
    this.#parts = parts;
    this.recent = new RecentEntries(parts.recentBytesMax);
  }

  /** Whether records of a type can have more than one version. */
  canChange(type: string): boolean {
    return this.#parts.registry.get(type)?.declaration.mode !== "append";
  }

  /** The records of an entry, from memory where they were read lately. */
  records(scope: Scope, entry: StoredEntry): Promise<EntryRecords> {
    return this.recent.get(scope.tenant, entry.sequence, () => this.readRecords(scope, entry));
  }

  /** The records of an entry, read from where its lines lie. */
  async readRecords(scope: Scope, entry: StoredEntry): Promise<EntryRecords> {
    const lines = await this.#whereItLies(scope, entry, (at) =>
      this.#parts.lines.readLines(scope, at),
    );
    const count = lineCount(lines);
    const isRemoval = entry.operation === "delete";
    const ids: string[] = [];
    const texts: Uint8Array[] = [];
    const observedAt = new Float64Array(count).fill(Number.NaN);
    const open = this.#textReader(scope, entry);
    for (let index = 0; index < count; index += 1) {
      const line = decodeLine(lineAt(lines, index));
      ids.push(line.id);
      if (line.observedAt !== undefined) observedAt[index] = line.observedAt;
      texts.push(isRemoval ? new Uint8Array(0) : await open(line));
    }
    return {
      type: entry.type,
      sequence: entry.sequence,
      batch: {
        type: entry.type,
        ...joinBytes(texts),
        ids,
        sequences: new Float64Array(count).fill(entry.sequence),
        observedAt,
        removed: new Uint8Array(count).fill(isRemoval ? 1 : 0),
      },
    };
  }

  /** The record at a position of the id index. */
  async recordAt(scope: Scope, position: IdPosition): Promise<JournalRecord> {
    const entry = await this.entry(scope, position.sequence);
    const bytes = await this.#whereItLies(scope, entry, (at) =>
      this.#parts.lines.readLine(scope, at, position.ordinal),
    );
    const line = decodeLine(bytes);
    const text = Buffer.from(await this.#textReader(scope, entry)(line)).toString("utf8");
    return { entry, line, text };
  }

  /** An entry by its sequence. @throws CoreError `damaged` when there is none. */
  async entry(scope: Scope, sequence: number): Promise<StoredEntry> {
    const key = `${scope.tenant}/${sequence}`;
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const entry = await this.#parts.journal.entry(scope, sequence);
    if (entry === undefined) {
      throw new CoreError("damaged", `the journal of ${scope.tenant} has no entry ${sequence}`);
    }
    this.#entries.set(key, entry);
    return entry;
  }

  /** Forgets where entries lie, after compaction moved them. */
  forget(): void {
    this.#entries.clear();
    this.#parts.lines.forget();
  }

  /** Records as they stood just before an entry; `undefined` where there was no live record. */
  async versionsBefore(
    scope: Scope,
    type: string,
    ids: readonly string[],
    sequence: number,
  ): Promise<readonly (EarlierVersion | undefined)[]> {
    const keys = ids.map((id) => ({ id, sequence }));
    const positions = await this.#parts.journal.lookupBefore(scope, type, keys);
    const versions: (EarlierVersion | undefined)[] = [];
    for (const position of positions) {
      if (position === undefined || position.isDeleted) versions.push(undefined);
      else {
        const text = Buffer.from((await this.recordAt(scope, position)).text);
        versions.push({ text, sequence: position.sequence });
      }
    }
    return versions;
  }

  /** Reads an entry's lines; when a compaction has just moved them, from where they lie now. */
  async #whereItLies<Result>(
    scope: Scope,
    entry: StoredEntry,
    read: (entry: StoredEntry) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await read(entry);
    } catch (cause) {
      if (!(cause instanceof CoreError) || cause.code !== "damaged") throw cause;
      const now = await this.#parts.journal.entry(scope, entry.sequence);
      if (now === undefined || isSamePlace(now, entry)) throw cause;
      this.forget();
      return read(now);
    }
  }

  /** How to get the open, present-version JSON text of an entry's lines. */
  #textReader(scope: Scope, entry: StoredEntry): (line: DecodedLine) => Promise<Uint8Array> {
    const type = this.#parts.registry.get(entry.type)?.declaration;
    // Only a type that had other versions makes it worth decoding the entry: that costs more than the lines.
    const climb =
      type?.previous === undefined ? [] : upcasts(type, decodeEntry(entry.bytes).typeVersion);
    return async (line) => {
      const stored = line.data ?? new Uint8Array(0);
      const opened =
        line.sealed === undefined ? stored : await this.#parts.opener(scope, entry.type, line);
      if (climb.length === 0) return opened;
      let fields = parseJson(Buffer.from(opened).toString("utf8")) as Record<string, unknown>;
      for (const upcast of climb) fields = upcast(fields);
      return Buffer.from(stringifyJson(fields));
    };
  }
}

/** Whether an entry's lines still lie where they did when it was read. */
export function isSamePlace(
  { location: left }: StoredEntry,
  { location: right }: StoredEntry,
): boolean {
  if (left.kind === "inline" || right.kind === "inline") return left.kind === right.kind;
  return left.segmentId === right.segmentId && left.firstLine === right.firstLine;
}

type Upcast = (fields: Record<string, unknown>) => Record<string, unknown>;

/** The upcasts from a stored version of a type to its present one, in order. */
export function upcasts(type: RecordType, from: number): readonly Upcast[] {
  const climb: Upcast[] = [];
  for (
    let at: RecordType | undefined = type;
    at !== undefined && at.version > from;
    at = at.previous
  ) {
    if (at.upcast !== undefined) climb.unshift(at.upcast);
  }
  return climb;
}
