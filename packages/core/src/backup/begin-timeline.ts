import { uuidV7 } from "@custody/contract/ids";
import type { SignedTreeHead } from "@custody/contract/receipt";
import type { JournalAppend, JournalHead, JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { recordHashes } from "../journal/content-hash.ts";
import { draftEntry } from "../journal/draft-entry.ts";
import type { DraftEntry } from "../journal/draft-entry.ts";
import { joinTexts } from "../journal/entry-records.ts";
import { encodeEntry, entryHash, NO_PREVIOUS } from "../journal/format/entry.ts";
import type { Entry, OldHead } from "../journal/format/entry.ts";
import { leafHash } from "../journal/format/merkle.ts";
import { TreeFrontier } from "../journal/format/tree-frontier.ts";
import { encodeTreeHead, signTreeHead } from "../journal/format/tree-head.ts";
import type { LineStore } from "../journal/line-store.ts";
import type { KeyService } from "../keys/key-service.ts";
import { prepareRecord } from "../records/prepare-record.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import { restores } from "../system-types.ts";
import { appendEntries } from "./append-entries.ts";
import type { Cut } from "./restore-cut.ts";
import type { RestoreMarker } from "./restore-marker.ts";

export interface NewTimelineParts {
  readonly journal: JournalStore;
  readonly lines: LineStore;
  readonly keys: KeyService;
  readonly registry: TypeRegistry;
  readonly runtime: Runtime;
}

/** The fields of the record that a restore leaves in each journal. */
export function restoreFields(
  marker: RestoreMarker,
  cut: Cut,
  oldHead: OldHead,
): Record<string, unknown> {
  return {
    timeline: marker.timeline,
    asked: marker.asked,
    backup: marker.backup,
    repository: marker.repository,
    actor: marker.actor,
    restored_at: new Date(marker.startedAt).toISOString(),
    cut_sequence: cut.sequence,
    cut_at: cut.receivedAt === undefined ? null : new Date(cut.receivedAt).toISOString(),
    old_timeline: oldHead.timeline,
    old_size: oldHead.size,
    old_root: oldHead.root,
  };
}

/**
 * Begins a new timeline behind the entries that were taken over: its first entry names the head of the
 * history that is left, and puts the record of the restore.
 */
export async function beginTimeline(
  parts: NewTimelineParts,
  scope: Scope,
  before: JournalHead | undefined,
  { fields, oldHead }: { readonly fields: Record<string, unknown>; readonly oldHead: OldHead },
): Promise<void> {
  const { journal, lines, runtime } = parts;
  const draft = await draftRestore(parts, scope, fields);
  const receivedAt = Math.max(runtime.clock(), before?.lastReceivedAt ?? 0);
  const entry: Entry = {
    timeline: String(fields["timeline"]),
    tenant: scope.tenant,
    sequence: (before?.sequence ?? 0) + 1,
    commit: uuidV7(runtime.clock(), runtime.random(10)),
    type: draft.type.name,
    typeVersion: draft.typeVersion,
    operation: "restore",
    count: 1,
    root: Buffer.from(draft.root).toString("hex"),
    actor: scope.actor,
    source: { tool: RESTORE_TOOL, toolVersion: String(fields["backup"]) },
    idempotency: null,
    observedFrom: draft.observedFrom,
    observedTo: draft.observedTo,
    receivedAt,
    previous:
      before === undefined ? NO_PREVIOUS : Buffer.from(before.lastEntryHash).toString("hex"),
    oldHead,
  };
  const bytes = encodeEntry(entry);
  const hash = entryHash(bytes);
  const { sequence, timeline, commit, type } = entry;
  const frontier = new TreeFrontier(before?.sequence ?? 0, before?.frontier);
  const leaf = { level: 0, index: sequence - 1, hash: leafHash(hash) };
  const nodes = [leaf, ...frontier.append(hash)];
  const { ids, contentHashes } = draft;
  const seal = await lines.packInline(scope, draft.lines);
  const columns = {
    sequence,
    hash,
    bytes,
    commit,
    type,
    operation: "restore",
    count: 1,
    receivedAt,
  };
  const kept = { ids, contentHashes, location: { kind: "inline" }, lines: seal(sequence) } as const;
  const head = { timeline, sequence, lastEntryHash: hash, lastReceivedAt: receivedAt };
  const append: JournalAppend = {
    head: { ...head, frontier: frontier.serialise() },
    entries: [{ ...columns, ...kept }],
    nodes,
    treeHead: encodeTreeHead(await signed(parts.keys, { scope, timeline, frontier, receivedAt })),
    segments: [],
    intents: [],
  };
  await appendEntries(journal, scope, [append]);
}

/** The record of a restore as a line. */
async function draftRestore(
  { keys, registry, runtime }: NewTimelineParts,
  scope: Scope,
  fields: Record<string, unknown>,
): Promise<DraftEntry> {
  const type = registry.require(restores.name);
  const context = { runtime, keyedHash: (text: string) => text };
  const { id, text, observedAt } = prepareRecord(type, fields, context);
  const joined = joinTexts([text]);
  const contentHash = recordHashes(type.declaration, await keys.hashKey(scope.tenant), joined);
  const line = { id, text: joined.text, contentHash };
  const dated = observedAt === undefined ? line : { ...line, observedAt };
  return draftEntry(type, "restore", [dated], runtime.random(16));
}

/** The tool that entries of a restore name as their source; its version is the backup's id. */
export const RESTORE_TOOL = "custody restore";

async function signed(
  keys: KeyService,
  at: {
    readonly scope: Scope;
    readonly timeline: string;
    readonly frontier: TreeFrontier;
    readonly receivedAt: number;
  },
): Promise<SignedTreeHead> {
  const { scope, timeline, frontier, receivedAt } = at;
  const root = Buffer.from(frontier.root()).toString("hex");
  const head = { tenant: scope.tenant, timeline, size: frontier.size, root, signedAt: receivedAt };
  return signTreeHead(head, await keys.signer(scope.tenant));
}
