import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { SignedTreeHead } from "@custody/contract/receipt";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { OldHead } from "../journal/format/entry.ts";
import { restores } from "../system-types.ts";
import { beginTimeline, restoreFields, RESTORE_TOOL } from "./begin-timeline.ts";
import { carryOver } from "./carry-over.ts";
import type { CarriedOver } from "./carry-over.ts";
import { journalContents } from "./journal-contents.ts";
import type { LiveJournal } from "./journal-contents.ts";
import { findCut } from "./restore-cut.ts";
import type { Cut, RestorePoint } from "./restore-cut.ts";
import { restoreFiles, restoreState } from "./restore-files.ts";
import type { RestoredFiles } from "./restore-files.ts";
import { JournalReplay } from "./restore-journal.ts";
import type { Replayed } from "./restore-journal.ts";
import { SourceLines } from "./restore-lines.ts";
import { putMarker, readMarker } from "./restore-marker.ts";
import type { RestoreMarker } from "./restore-marker.ts";
import { tenantOf } from "./restore-source.ts";
import type { RestoreSource } from "./restore-source.ts";
import { restoredJournal } from "./restored-journal.ts";
import type { RestoredJournal, RestoreTarget } from "./restored-journal.ts";

/** What is restored, and from where what must not be taken back is known. */
export interface RestoreOptions {
  readonly to: RestorePoint;
  /** This tenant's journal alone, and `_system`'s as of the same instant. */
  readonly tenant?: string;
  /** Who restores; default who runs the process. */
  readonly actor?: string;
  /** The newest backup of the same installation, for the holds and erasures made since. */
  readonly newest?: RestoreSource;
  /** The installation that is left, where it can still be read: it knows the latest of them. */
  readonly live?: LiveJournal;
  /** Told when the place has been found fit and says of itself that a restore is under way. */
  readonly onBegun?: () => void;
  readonly onProgress?: (progress: RestoreProgress) => void;
  readonly signal?: AbortSignal;
}

/** How far a restore is: entries of a tenant's journal. */
export interface RestoreProgress {
  readonly tenant: string;
  readonly done: number;
  readonly of: number;
}

/** What a restore has done; of one that was resumed, in its last run. */
export interface RestoreReport {
  readonly backup: string;
  /** The timeline that it began in every journal. */
  readonly timeline: string;
  readonly tenants: readonly RestoredTenant[];
  readonly files: RestoredFiles;
  /** Types of restored records that no installed pack declares: they are in the journal and in no store. */
  readonly unknownTypes: readonly string[];
}

/** What was restored of a tenant. */
export interface RestoredTenant {
  readonly tenant: string;
  readonly cut: Cut;
  readonly oldHead: OldHead;
  readonly entries: number;
  readonly records: number;
  /** Records whose person was erased: what of them is personal can be read no more. */
  readonly erased: number;
  /** Records that cannot be read either, as the key backup lacks a key that nobody destroyed: it is not whole. */
  readonly keyless: number;
  readonly carriedOver: CarriedOver;
}

/**
 * Restores a backup into an empty place, as it was at an instant, on a new timeline.
 *
 * The journal is replayed byte for byte; projections are built from it when it is opened. Records that
 * outlive a restore are brought to their newest known version before the restore counts as done. Interrupted, it
 * goes on where it was when it is called again alike; until it is done, `requireRestored` refuses the place.
 *
 * @throws CoreError `conflict` when the place holds anything, or another restore; `damaged` naming what in the
 *   backup is not what it should be; `not-found` for an unknown tenant; `usage` for a point beyond the backup.
 */
export async function restoreBackup(
  source: RestoreSource,
  target: RestoreTarget,
  options: RestoreOptions,
): Promise<RestoreReport> {
  const cuts = new Map<string, Cut>();
  // Before the place is begun, so that a point that cannot be reached leaves it as it was.
  for (const tenant of tenantsToRestore(source, options))
    cuts.set(tenant, await cutOf(source, options, tenant));
  const marker = await begin(source, target, options);
  options.onBegun?.();
  const restore: Restore = {
    source,
    target,
    options,
    marker,
    later: await laterSources(source, options),
    restored: restoredJournal(target),
    unknownTypes: new Set(),
    files: { files: 0, bytes: 0, unreadable: [] },
  };
  const plans: Plan[] = [];
  for (const [tenant, cut] of cuts) plans.push(planTenant(restore, tenant, cut));
  const done: RestoredTenant[] = [];
  for (const plan of plans) done.push(await restoreTenant(restore, plan));
  await putMarker(target.journal, undefined);
  const { files, unknownTypes } = restore;
  return {
    backup: marker.backup,
    timeline: marker.timeline,
    tenants: done,
    files,
    unknownTypes: [...unknownTypes].toSorted(),
  };
}

/** A restore under way. */
interface Restore {
  readonly source: RestoreSource;
  readonly target: RestoreTarget;
  readonly options: RestoreOptions;
  readonly marker: RestoreMarker;
  /** What knows more of the history that is left than the backup does, the latest last. */
  readonly later: readonly RestoreSource[];
  readonly restored: RestoredJournal;
  readonly unknownTypes: Set<string>;
  readonly files: RestoredFiles;
}

interface Plan {
  readonly scope: Scope;
  readonly cut: Cut;
  readonly oldHead: OldHead;
}

function tenantsToRestore(
  { manifest }: RestoreSource,
  { tenant, to }: RestoreOptions,
): readonly string[] {
  const names = manifest.tenants.map((one) => one.tenant);
  if (tenant === undefined) {
    if (to !== "latest" && "sequence" in to)
      throw new CoreError("usage", "each tenant counts its own entries: name the tenant as well");
    return names;
  }
  if (names.includes(tenant)) return names.filter((name) => name === tenant || isSystem(name));
  throw new CoreError("not-found", `backup ${manifest.backupId} holds no tenant ${tenant}`);
}

async function begin(
  { manifest }: RestoreSource,
  target: RestoreTarget,
  options: RestoreOptions,
): Promise<RestoreMarker> {
  const { journal, runtime } = target;
  const { backupId: backup, repository } = manifest;
  const asked = describePoint(options);
  const known = await readMarker(journal);
  if (known !== undefined) {
    if (known.backup === backup && known.asked === asked) return known;
    throw new CoreError(
      "conflict",
      `this place holds a half-finished restore of backup ${known.backup} to ${known.asked}; repeat that one, or empty the place`,
    );
  }
  await requireEmpty(target, manifest.tenants);
  const marker: RestoreMarker = {
    backup,
    repository,
    asked,
    timeline: Buffer.from(runtime.random(16)).toString("hex"),
    actor: options.actor ?? runtime.user,
    startedAt: runtime.clock(),
  };
  await putMarker(journal, marker);
  return marker;
}

/** A restore replaces nothing, whatever is there: a mistaken one must not cost what it was to save. */
async function requireEmpty(
  { journal, blob }: RestoreTarget,
  tenants: RestoreSource["manifest"]["tenants"],
): Promise<void> {
  const refuse = (what: string): never => {
    throw new CoreError(
      "conflict",
      `this place holds ${what}, and a restore never replaces anything: restore into a new place, look at it, then switch to it`,
    );
  };
  const [first] = await journal.tenants();
  if (first !== undefined) refuse(`the journal of ${first}`);
  for (const { tenant } of tenants) {
    const blobs = await blob.list(scopeOf(tenant), "", { limit: 2 });
    // The server has signed the place already, and nothing else.
    const others = blobs.filter(({ key }) => !(isSystem(tenant) && key === "installation"));
    if (others.length > 0) refuse(`files of ${tenant}`);
  }
}

async function laterSources(
  { manifest }: RestoreSource,
  { newest, live }: RestoreOptions,
): Promise<readonly RestoreSource[]> {
  const { repository } = manifest;
  const alive = live && (await journalContents(live, { backupId: "live", repository }));
  return [newest, alive].filter((one) => one !== undefined);
}

function planTenant({ source, marker, later }: Restore, tenant: string, cut: Cut): Plan {
  const scope: Scope = { tenant, actor: marker.actor, deadline: Number.POSITIVE_INFINITY };
  const known = [source, ...later].flatMap((one) => tenantOf(one, tenant)?.treeHead ?? []);
  const { timeline, size, root } = known.reduce(newer);
  return { scope, cut, oldHead: { timeline, size, root } };
}

function newer(earlier: SignedTreeHead, later: SignedTreeHead): SignedTreeHead {
  return earlier.timeline === later.timeline && earlier.size > later.size ? earlier : later;
}

/** Sequences are one tenant's: `_system` is taken as of the instant that the tenant's entry was received. */
async function cutOf(source: RestoreSource, options: RestoreOptions, tenant: string): Promise<Cut> {
  const { to, tenant: chosen } = options;
  if (to === "latest" || !("sequence" in to) || chosen === undefined || tenant === chosen)
    return findCut(source, tenant, to);
  const { receivedAt = 0 } = await findCut(source, chosen, to);
  return findCut(source, tenant, { time: receivedAt });
}

async function restoreTenant(restore: Restore, plan: Plan): Promise<RestoredTenant> {
  const { source, target, files, unknownTypes } = restore;
  const { scope, cut, oldHead } = plan;
  const replayed: Replayed = { entries: 0, records: 0, erased: 0, keyless: 0, unknownTypes };
  await replay(restore, plan, replayed);
  await restoreFiles(source, target, scope, files);
  await restoreState(source, target, scope);
  const carriedOver = await carryOverAll(restore, plan);
  const { unknownTypes: _, ...counts } = replayed;
  return { tenant: scope.tenant, cut, oldHead, ...counts, carriedOver };
}

/** Replays the entries, then begins the new timeline; one that has begun has all of them. */
async function replay(restore: Restore, plan: Plan, replayed: Replayed): Promise<void> {
  const { source, target, marker, options, restored } = restore;
  const { scope, cut, oldHead } = plan;
  const present = await target.journal.head(scope);
  if (present?.timeline === marker.timeline) return;
  const lines = new SourceLines({ ...target, source }, scope.tenant);
  const parts = { ...target, source, lines };
  const head = await new JournalReplay(parts, scope, replayed).run(cut.sequence, (sequence) => {
    options.signal?.throwIfAborted();
    options.onProgress?.({ tenant: scope.tenant, done: sequence, of: cut.sequence });
  });
  const fields = restoreFields(marker, cut, oldHead);
  await beginTimeline({ ...target, lines: restored.lines }, scope, head, { fields, oldHead });
}

async function carryOverAll(restore: Restore, { scope, cut, oldHead }: Plan): Promise<CarriedOver> {
  const { source, target, restored, later, marker } = restore;
  const all: CarriedOver = {};
  const own = tenantOf(source, scope.tenant)?.head.timeline;
  for (const one of [source, ...later]) {
    const head = tenantOf(one, scope.tenant)?.head;
    if (head === undefined) continue;
    // Of another timeline it is not known how far both are the same.
    const after = head.timeline === own ? cut.sequence : 0;
    const carried = await carryOver({ target, restored, source: one }, scope, after);
    for (const [type, count] of Object.entries(carried)) all[type] = (all[type] ?? 0) + count;
  }
  if (Object.keys(all).length > 0) {
    const fields = { ...restoreFields(marker, cut, oldHead), carried_over: all };
    const sourceOf = { tool: RESTORE_TOOL, toolVersion: marker.backup };
    const part = { type: restores.name, put: [{ fields }] };
    await restored.writer.commit(scope, [part], { source: sourceOf }, "own");
  }
  return all;
}

function describePoint({ to, tenant }: RestoreOptions): string {
  const of = tenant === undefined ? "" : ` of ${tenant}`;
  if (to === "latest") return `its end${of}`;
  return "sequence" in to ? `entry ${to.sequence}${of}` : `${new Date(to.time).toISOString()}${of}`;
}

function isSystem(tenant: string): boolean {
  return tenant === SYSTEM_TENANT;
}

function scopeOf(tenant: string): Scope {
  return { tenant, actor: "service:restore", deadline: Number.POSITIVE_INFINITY };
}
