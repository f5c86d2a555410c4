import { parseJson } from "@custody/contract/json";
import type { Scope } from "@custody/stores/scope";

import type { CommitPart, CommitRecord } from "../journal/commit-request.ts";
import { decodeEntry } from "../journal/format/entry.ts";
import { decodeLine } from "../journal/format/line.ts";
import { lineAt } from "../journal/format/lines.ts";
import { upcasts } from "../journal/journal-reader.ts";
import { RESTORE_TOOL } from "./begin-timeline.ts";
import type { BackedUpEntry } from "./backup-contents.ts";
import { openTexts } from "./restore-entry.ts";
import { SourceLines } from "./restore-lines.ts";
import type { RestoreSource } from "./restore-source.ts";
import type { RestoredJournal, RestoreTarget } from "./restored-journal.ts";

export interface CarryOverParts {
  readonly target: RestoreTarget;
  readonly restored: RestoredJournal;
  /** Where records are that outlive the restore: a later backup, or the journal that is left. */
  readonly source: RestoreSource;
}

/** How many records of each type were taken over, deletions included; those that were there are not counted. */
export type CarriedOver = Record<string, number>;

const RECORDS_PER_COMMIT = 500;
/** Where segments of a later backup lie while they are read; never a name of one that is kept. */
const SCRATCH = "restoring/";

/**
 * Commits the newest versions of all records that outlive a restore, as a later history of the journal
 * has them, into the timeline that the restore began.
 *
 * Done again, it changes nothing: what is there already is a duplicate.
 *
 * @param after the sequence up to which both histories are the same.
 */
export async function carryOver(
  { target, restored, source }: CarryOverParts,
  scope: Scope,
  after: number,
): Promise<CarriedOver> {
  const { registry, blob } = target;
  const declared = registry.all().map(({ declaration }) => declaration);
  const type = declared.filter(({ outlivesRestore }) => outlivesRestore === true).map(nameOf);
  const carried: CarriedOver = {};
  if (type.length === 0) return carried;
  const keyOf = ({ segmentId }: { readonly segmentId: string }): string => `${SCRATCH}${segmentId}`;
  const lines = new SourceLines({ ...target, source, keyOf }, scope.tenant);
  let batch: Changes = new Map();
  const flush = async (): Promise<void> => {
    const options = {
      isCarriedOver: true,
      source: { tool: RESTORE_TOOL, toolVersion: source.manifest.backupId },
    };
    if (batch.size > 0) {
      const { receipt } = await restored.writer.commit(scope, partsOf(batch), options, "own");
      for (const entry of receipt.entries)
        carried[entry.type] = (carried[entry.type] ?? 0) + entry.accepted;
    }
    batch = new Map();
  };
  for await (const entry of source.entries(scope.tenant, { after, type })) {
    if (!type.includes(entry.type)) continue;
    for await (const change of changesOf(target, scope, entry, lines)) {
      batch.set(`${entry.type} ${change.id}`, change);
      if (batch.size >= RECORDS_PER_COMMIT) await flush();
    }
  }
  await flush();
  const scratch = lines.copied.map(({ blobKey }) => blobKey);
  lines.forget();
  for (const key of scratch) await blob.delete(scope, key);
  return carried;
}

interface Change {
  readonly type: string;
  readonly id: string;
  /** Absent for a deletion. */
  readonly put?: CommitRecord;
}

/** By type and id: of several versions the latest. */
type Changes = Map<string, Change>;

async function* changesOf(
  target: RestoreTarget,
  scope: Scope,
  entry: BackedUpEntry,
  lines: SourceLines,
): AsyncGenerator<Change> {
  const { type, operation, count } = entry;
  const read = await lines.read(scope, entry);
  const records = Array.from({ length: count }, (_, index) => decodeLine(lineAt(read, index)));
  if (operation === "delete") {
    for (const { id } of records) yield { type, id };
    return;
  }
  const climb = upcasts(
    target.registry.require(type).declaration,
    decodeEntry(entry.bytes).typeVersion,
  );
  const texts = await openTexts(target, scope, type, records);
  for (const [index, { id }] of records.entries()) {
    const opened = texts[index];
    // What an erased person's record said can be known no more, so it cannot be committed again.
    if (opened === undefined || opened.isErased) continue;
    const stored = parseJson(Buffer.from(opened.text).toString("utf8")) as Record<string, unknown>;
    const fields = climb.reduce((before, upcast) => upcast(before), stored);
    yield { type, id, put: { fields, keptId: id } };
  }
}

function partsOf(changes: Changes): readonly CommitPart[] {
  const byType = Map.groupBy(changes.values(), ({ type }) => type);
  return [...byType].map(([type, own]) => ({
    type,
    put: own.flatMap(({ put }) => put ?? []),
    delete: own.flatMap(({ id, put }) => (put === undefined ? [id] : [])),
  }));
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}
