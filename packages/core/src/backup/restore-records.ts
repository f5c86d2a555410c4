import { parseJson } from "@custody/contract/json";
import type { Receipt } from "@custody/contract/receipt";
import type { EntryRecords } from "../journal/entry-records.ts";
import type { IdPosition, JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { CommitOptions, CommitPart, CommitRecord } from "../journal/commit-request.ts";
import { ERASED_CONTENT } from "../journal/content-hash.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import { RESTORE_TOOL } from "./begin-timeline.ts";
import { restoredJournal } from "./restored-journal.ts";
import type { RestoreTarget } from "./restored-journal.ts";

/** Which records are brought back. */
export interface RecordsChoice {
  /** Of types that are kept per owner, the records of this one. */
  readonly owner?: string;
  /** Types by name; default all that are kept per owner. */
  readonly types?: readonly string[];
}

/** From where to where records are brought. */
export interface RestoreRecordsParts {
  /** A scratch place that holds the restored journal. */
  readonly scratch: RestoreTarget;
  readonly backupId: string;
  /** The journal of the installation that the records are committed into, to see what is there. */
  readonly journal: Pick<JournalStore, "lookup">;
  readonly commit: (
    scope: Scope,
    parts: readonly CommitPart[],
    options: CommitOptions,
  ) => Promise<Receipt>;
}

/** What became of the chosen records of one type. */
export interface RestoredRecords {
  /** Committed anew, under the ids that they had. */
  restored: number;
  /** There already, as they were; of an append-only type also in another form. */
  present: number;
  /** Refused by the installation's own rules: a reference that is not there, a schema they do not keep to. */
  rejected: number;
  /** About a person who was erased since. */
  erased: number;
}

const ENTRIES_PER_STEP = 64;
const RECORDS_PER_COMMIT = 500;

/**
 * Commits chosen records, as they were at the instant to which a scratch place was restored, into an installation
 * that may be alive: ordinary commits of its present timeline, whose source names the backup.
 *
 * Records that were not there at the instant are left alone. Done again, it finds everything present.
 *
 * @throws CoreError `usage` for an unknown type, or an owner of types that have none.
 */
export async function restoreRecords(
  parts: RestoreRecordsParts,
  scope: Scope,
  choice: RecordsChoice,
): Promise<Readonly<Record<string, RestoredRecords>>> {
  const { registry, journal } = parts.scratch;
  const { reader } = restoredJournal(parts.scratch);
  const counts: Record<string, RestoredRecords> = {};
  for (const type of chosenTypes(parts, choice)) {
    const home = registry.home(scope, type);
    const count = { restored: 0, present: 0, rejected: 0, erased: 0 };
    counts[type.name] = count;
    for await (const entry of recordEntries(journal, home, type.name)) {
      const records = await reader.readRecords(home, entry);
      const picked = await pick(parts, { scope: home, type, count, choice }, records);
      for (let at = 0; at < picked.length; at += RECORDS_PER_COMMIT)
        await put(parts, { scope: home, type, count }, picked.slice(at, at + RECORDS_PER_COMMIT));
    }
  }
  return counts;
}

async function* recordEntries(
  journal: JournalStore,
  scope: Scope,
  type: string,
): AsyncGenerator<StoredEntry> {
  let after = 0;
  for (;;) {
    const entries = await journal.entries(scope, { after, type: [type], limit: ENTRIES_PER_STEP });
    yield* entries.filter(({ operation }) => operation !== "delete");
    after = entries.at(-1)?.sequence ?? after;
    if (entries.length < ENTRIES_PER_STEP) return;
  }
}

interface Work {
  readonly scope: Scope;
  readonly type: CompiledType;
  readonly count: RestoredRecords;
}

function chosenTypes(
  { scratch: { registry } }: RestoreRecordsParts,
  { owner, types }: RecordsChoice,
): readonly CompiledType[] {
  if (owner === undefined && types === undefined)
    throw new CoreError("usage", "name the types or the owner whose records are to be restored");
  const chosen =
    types?.map((name) => registry.require(name)) ??
    registry.all().filter(({ ownerOf }) => ownerOf !== undefined);
  const shared = chosen.find(({ ownerOf }) => owner !== undefined && ownerOf === undefined);
  if (shared === undefined) return chosen;
  throw new CoreError(
    "usage",
    `records of ${shared.name} have no owner; leave it or the owner out`,
  );
}

/** The records of an entry that are chosen, latest at the instant, and other than what is there. */
async function pick(
  { scratch, journal }: RestoreRecordsParts,
  { scope, type, count, choice }: Work & { readonly choice: RecordsChoice },
  { batch, sequence }: EntryRecords,
): Promise<readonly CommitRecord[]> {
  const then = await scratch.journal.lookup(scope, type.name, batch.ids);
  const now = await journal.lookup(scope, type.name, batch.ids);
  const picked: CommitRecord[] = [];
  for (const [index, id] of batch.ids.entries()) {
    const position = then[index];
    if (position === undefined || position.isDeleted || position.sequence !== sequence) continue;
    const text = batch.text.subarray(batch.offsets[index], batch.offsets[index + 1]);
    const fields = parseJson(Buffer.from(text).toString("utf8"));
    if (choice.owner !== undefined && type.ownerOf?.(fields) !== choice.owner) continue;
    if (isPresent(type, position, now[index])) count.present += 1;
    else if (isSame(position.contentHash, ERASED_CONTENT)) count.erased += 1;
    else picked.push({ fields, keptId: id });
  }
  return picked;
}

function isPresent(type: CompiledType, then: IdPosition, now: IdPosition | undefined): boolean {
  if (now === undefined || now.isDeleted) return false;
  return type.declaration.mode === "append" || isSame(then.contentHash, now.contentHash);
}

async function put(
  { commit, backupId }: RestoreRecordsParts,
  { scope, type, count }: Work,
  records: readonly CommitRecord[],
): Promise<void> {
  const source = { tool: RESTORE_TOOL, toolVersion: backupId };
  const parts = [{ type: type.name, put: records }];
  const { entries, rejected, duplicates } = await commit(scope, parts, {
    source,
    onBad: "reject",
  });
  for (const { accepted } of entries) count.restored += accepted;
  count.rejected += rejected[type.name] ?? 0;
  count.present += duplicates[type.name] ?? 0;
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
