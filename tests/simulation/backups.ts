import { openBackup } from "@custody/core/backup/open-backup";
import { listBackups, openBackupRepository } from "@custody/core/backup/backup-repository";
import type { BackupRepository } from "@custody/core/backup/backup-repository";
import { restoreBackup } from "@custody/core/backup/restore";
import { verifyBackup } from "@custody/core/backup/verify-backup";
import { CoreError } from "@custody/core/errors";
import { TypeRegistry } from "@custody/core/records/type-registry";
import type { Runtime } from "@custody/core/runtime";
import { StoreError } from "@custody/stores/errors";

import { openDiskBlobStore } from "./adapters/disk-blob-store.ts";
import type { DiskCall } from "./adapters/disk-blob-store.ts";
import { JournalDatabase, MemoryJournal } from "./adapters/memory-journal.ts";
import { SimulatedDisk } from "./adapters/simulated-disk.ts";
import { cheapCodec } from "./cheap-codec.ts";
import { ask, headOf, note, scopeOf } from "./client.ts";
import type { ClientParts } from "./client.ts";
import { readHistory } from "./history.ts";
import type { HistoryEntry, HistoryPlace } from "./history.ts";
import type { Model } from "./model.ts";
import type { Plan, Step } from "./plan.ts";
import { Random } from "./random.ts";
import { simulatedPack } from "./simulated-types.ts";
import { ensure } from "./violation.ts";
import type { World } from "./world.ts";

/** Makes a backup; what is acknowledged must hold all that was committed before it was asked for. */
export async function backupStep(parts: ClientParts, step: Step, random: Random): Promise<void> {
  const { world, model } = parts;
  const process = await world.process(step.slot);
  const kind = random.pick(["full", "incremental", "incremental", "continuous"] as const);
  const heads = new Map([...world.database.tenants.keys()].map((one) => [one, headOf(world, one)]));
  const heard = await ask(process, (custody) =>
    custody.backup.create(scopeOf(step.tenant), process.backups, { kind }),
  );
  note(world, step, heard);
  if (heard.kind !== "answer") return;
  const { backupId, tenants } = heard.answer;
  model.backups.push(backupId);
  for (const [tenant, head] of heads) {
    const entries = tenants.find((one) => one.tenant === tenant)?.entries ?? 0;
    ensure(
      entries >= head,
      "backup-is-whole",
      () => `${backupId} holds ${entries} entries of ${tenant}, which had ${head} before`,
    );
  }
}

/** Prunes what lies in the place for backups, down to the newest one or two. */
export async function pruneStep({ world }: ClientParts, step: Step, random: Random): Promise<void> {
  const process = await world.process(step.slot);
  const last = random.pick([1, 2]);
  const heard = await ask(process, async (custody) => {
    try {
      return await custody.backup.prune(scopeOf(step.tenant), process.backups, { last });
    } catch (cause) {
      // Nobody has made one yet.
      if (cause instanceof CoreError && cause.code === "not-found") return undefined;
      throw cause;
    }
  });
  note(world, step, heard);
}

/** At the end: every backup that is listed is whole, and one of them restores to an instant exactly. */
export async function checkBackups(world: World, plan: Plan, model: Model): Promise<void> {
  if (world.backupDisk.list("").length === 0 && model.backups.length === 0) return;
  const random = new Random(plan.seed, "restore");
  const repository = await openPlace(world, random);
  if (repository === undefined) {
    ensure(model.backups.length === 0, "backup-is-whole", () => "the place is no repository");
    return;
  }
  const listed = await listBackups(repository);
  const isPruned = plan.steps.some(({ action }) => action === "prune");
  const ids = listed.map(({ backupId }) => backupId);
  const lost = model.backups.filter((backupId) => !ids.includes(backupId));
  const isLost = isPruned ? ids.length === 0 && model.backups.length > 0 : lost.length > 0;
  ensure(!isLost, "backup-is-whole", () => `${lost.join(", ")} was acknowledged and is not there`);
  for (const backupId of ids) {
    const { ok, fault } = await verifyBackup(repository, backupId);
    ensure(ok, "backup-is-whole", () => `${backupId}: ${fault?.at} ${fault?.reason}`);
  }
  if (ids.length > 0) await restoreOne(world, repository, { backupId: random.pick(ids), random });
}

async function openPlace(world: World, random: Random): Promise<BackupRepository | undefined> {
  const blob = openDiskBlobStore({
    clock: () => 0,
    writer: "check",
    call: async (_, work) => work(world.backupDisk),
  });
  try {
    const { keys } = world;
    return await openBackupRepository({ blob, keys, runtime: runtimeOf(world, random) });
  } catch (cause) {
    if (cause instanceof CoreError && cause.code === "not-found") return undefined;
    throw cause;
  }
}

function runtimeOf({ scheduler }: World, random: Random): Runtime {
  return {
    clock: () => Math.floor(scheduler.nowMs),
    random: (length) => random.bytes(length),
    sleep: () => Promise.resolve(),
    codec: cheapCodec,
    user: "os:simulated",
  };
}

// A restore of so little takes some dozens of calls to the disk.
const RESTORE_CALLS = 60;

/** Restores a backup to an instant, now and then interrupted once, and compares what came of it. */
async function restoreOne(
  world: World,
  repository: BackupRepository,
  { backupId, random }: { readonly backupId: string; readonly random: Random },
): Promise<void> {
  const contents = await openBackup(repository, backupId);
  const { tenants, createdAt } = contents.manifest;
  // A backup tells nothing of instants behind its cut, and is not restored to them.
  const reached = Math.max(createdAt, ...tenants.map(({ head }) => head.receivedAt));
  const instants = tenants.flatMap(({ tenant }) =>
    world.database.committed(tenant).entries.map(({ receivedAt }) => receivedAt),
  );
  const drawn = random.pick(instants.length === 0 ? [0] : instants) + random.between(-1, 1);
  const time = Math.min(drawn, reached);
  const place: HistoryPlace = {
    keys: world.keys,
    disk: new SimulatedDisk(new Random(0, "restored")),
    database: new JournalDatabase({ clock: () => 0, sleep: () => Promise.resolve() }),
  };
  let left = random.chance(0.5) ? random.below(RESTORE_CALLS) : Number.POSITIVE_INFINITY;
  const call: DiskCall = async (_, work) => {
    left -= 1;
    if (left === 0) throw new StoreError("unavailable", "simulated: the restore is interrupted");
    return work(place.disk);
  };
  const target = {
    journal: new MemoryJournal(place.database),
    blob: openDiskBlobStore({ clock: () => 0, writer: "restore", call }),
    keys: world.keys,
    registry: new TypeRegistry([simulatedPack(world.edition)]),
    runtime: runtimeOf(world, random),
    isSealed: world.options.settings.isSealed ?? true,
  };
  const restore = (): Promise<unknown> => restoreBackup(contents, target, { to: { time } });
  await restore().catch((cause: unknown) => {
    if (left > 0) throw cause;
    return restore();
  });
  for (const { tenant, head } of tenants) {
    const cut = cutOf(world, tenant, { time, end: head.sequence });
    const [original, restored] = [
      await readHistory(world, tenant),
      await readHistory(place, tenant),
    ];
    checkRestored(`${tenant} of ${backupId} at ${time}`, original.slice(0, cut), restored);
  }
}

/** The last entry of the last commit that was wholly received by an instant. */
function cutOf(
  world: World,
  tenant: string,
  { time, end }: { readonly time: number; readonly end: number },
): number {
  const entries = world.database.committed(tenant).entries.slice(0, end);
  const late = entries.find(({ receivedAt }) => receivedAt > time);
  const firstOfLate = entries.findIndex(({ commit }) => commit === late?.commit);
  return firstOfLate < 0 ? entries.length : firstOfLate;
}

/** What was restored is what was there, and behind it nothing but what the restore says of itself. */
function checkRestored(
  what: string,
  wanted: readonly HistoryEntry[],
  restored: readonly HistoryEntry[],
): void {
  for (const [index, entry] of wanted.entries()) {
    const found = restored[index];
    ensure(
      found?.hash === entry.hash && textOf(found) === textOf(entry),
      "restore-equals-history",
      () => `${what}: entry ${entry.sequence} is ${JSON.stringify(found)}`,
    );
  }
  const more = restored.slice(wanted.length).filter(({ type }) => !type.startsWith("custody/"));
  ensure(more.length === 0, "restore-equals-history", () => {
    return `${what} has ${more.map(({ sequence, type }) => `${sequence} ${type}`).join(", ")} too`;
  });
}

function textOf({ records }: HistoryEntry): string {
  return JSON.stringify(records.map(({ id, json }) => [id, json]));
}
