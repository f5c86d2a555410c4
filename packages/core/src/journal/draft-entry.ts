import type { RecordBatch } from "@custody/stores/record-batch";

import type { CompiledType } from "../records/compiled-type.ts";
import { joinBytes } from "./entry-records.ts";
import type { EntryOperation } from "./format/entry.ts";
import { LINE_SALT_BYTES } from "./format/line.ts";
import { LineWriter } from "./format/lines.ts";
import type { Lines } from "./format/lines.ts";
import { leafHashes, merkleRoot } from "./format/merkle.ts";

/** One line to be written: a record, or a deletion when it has no `text`. */
export interface DraftLine {
  readonly id: string;
  /** JSON text of the fields as they are to be stored: without what is sealed. */
  readonly text?: Uint8Array;
  /** JSON text of all fields, for projections; where it differs from `text`. */
  readonly openText?: Uint8Array;
  readonly observedAt?: number;
  readonly place?: string;
  readonly subject?: string;
  readonly sealed?: string;
  /** 16 bytes; zeros for a deletion. */
  readonly contentHash: Uint8Array;
}

/** What an entry commits to, and what the id index takes from it: all but the lines themselves. */
export interface EntryFacts {
  readonly type: CompiledType;
  /** The version of the type by which the lines were written: staged lines may be older than the declaration. */
  readonly typeVersion: number;
  readonly operation: EntryOperation;
  readonly root: Uint8Array;
  readonly ids: readonly string[];
  /** 16 bytes a line. */
  readonly contentHashes: Uint8Array;
  readonly observedFrom: number | null;
  readonly observedTo: number | null;
}

/** An entry that lacks only its place in the journal. */
export interface DraftEntry extends EntryFacts {
  readonly lines: Lines;
  /** Instants by line, NaN for none. */
  readonly observedAt: Float64Array;
  /** The open fields by line, as the stores will get them. */
  readonly open: { readonly text: Uint8Array; readonly offsets: Uint32Array };
}

/** The facts of a draft, without its lines. */
export function entryFacts(draft: DraftEntry): EntryFacts {
  const { type, typeVersion, operation, root, ids, contentHashes, observedFrom, observedTo } =
    draft;
  return { type, typeVersion, operation, root, ids, contentHashes, observedFrom, observedTo };
}

/**
 * Writes lines and hashes them.
 *
 * @param salts fresh random bytes, 16 for each line.
 */
export function draftEntry(
  type: CompiledType,
  operation: EntryOperation,
  drafts: readonly DraftLine[],
  salts: Uint8Array,
): DraftEntry {
  const writer = new LineWriter(expectedBytes(drafts));
  const contentHashes = new Uint8Array(drafts.length * 16);
  for (const [index, draft] of drafts.entries()) {
    const { id, text, observedAt, place, subject, sealed } = draft;
    writer.add({
      id,
      salt: salts.subarray(index * LINE_SALT_BYTES, (index + 1) * LINE_SALT_BYTES),
      ...(observedAt === undefined ? {} : { observedAt }),
      ...(place === undefined ? {} : { place }),
      ...(subject === undefined ? {} : { subject }),
      ...(sealed === undefined ? {} : { sealed }),
      ...(text === undefined ? {} : { data: text }),
    });
    contentHashes.set(draft.contentHash, index * 16);
  }
  const lines = writer.take();
  const instants = drafts.flatMap(({ observedAt }) =>
    observedAt === undefined ? [] : [observedAt],
  );
  return {
    type,
    typeVersion: type.declaration.version,
    operation,
    lines,
    root: merkleRoot(leafHashes(lines)),
    ids: drafts.map(({ id }) => id),
    contentHashes,
    observedFrom: extreme(instants, Math.min),
    observedTo: extreme(instants, Math.max),
    observedAt: Float64Array.from(drafts, ({ observedAt }) => observedAt ?? Number.NaN),
    open: joinBytes(drafts.map(({ text, openText }) => openText ?? text ?? NO_TEXT)),
  };
}

// What a line has besides its data: id, salt, instant and punctuation are about 150 bytes.
const LINE_HEAD_BYTES = 256;

/** Room for all lines at once: growing step by step would copy them several times. */
function expectedBytes(drafts: readonly DraftLine[]): number {
  let bytes = 0;
  for (const { text, sealed } of drafts) {
    bytes += LINE_HEAD_BYTES + (text?.byteLength ?? 0) + (sealed?.length ?? 0);
  }
  return bytes;
}

function extreme(
  instants: readonly number[],
  pick: (a: number, b: number) => number,
): number | null {
  return instants.length === 0 ? null : instants.reduce((a, b) => pick(a, b));
}

const NO_TEXT = new Uint8Array(0);

/** The records of a draft as projectors will read them, once its sequence is known. */
export function draftBatch(draft: DraftEntry, sequence: number): RecordBatch {
  const count = draft.ids.length;
  return {
    type: draft.type.name,
    text: draft.open.text,
    offsets: draft.open.offsets,
    ids: draft.ids,
    sequences: new Float64Array(count).fill(sequence),
    observedAt: draft.observedAt,
    removed: new Uint8Array(count).fill(draft.operation === "delete" ? 1 : 0),
  };
}
