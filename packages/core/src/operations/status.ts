import { STORE_ROLES } from "@custody/contract/placement";
import type { StoreRole } from "@custody/contract/placement";
import type { EngineEntry } from "@custody/stores/catalogue";
import { StoreError } from "@custody/stores/errors";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { DiskRoom } from "../journal/disk-room.ts";
import type { ProjectionStatus, RoleStatus, TenantStatus } from "../reports.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import type { ProjectionPlan } from "../projection/projections.ts";
import { PROJECTED_ROLES } from "../stores.ts";
import type { EventPublisher } from "../stream/event-publisher.ts";
import type { ProjectedRole, Stores } from "../stores.ts";

export interface StatusParts {
  readonly journal: JournalStore;
  readonly stores: Stores;
  readonly runner: ProjectionRunner;
  readonly publisher: EventPublisher;
  readonly room: Pick<DiskRoom, "report">;
  readonly isSealed: boolean;
}

/** The state of every role of a tenant. */
export async function readStatus(parts: StatusParts, scope: Scope): Promise<TenantStatus> {
  const head = await parts.journal.head(scope);
  // All at once: one that does not answer takes its time to say so.
  const roles = await Promise.all(
    STORE_ROLES.map(async (role) => [role, await roleStatus(parts, scope, role)] as const),
  );
  return {
    tenant: scope.tenant,
    timeline: head?.timeline,
    entries: head?.sequence ?? 0,
    head: head === undefined ? undefined : Buffer.from(head.lastEntryHash).toString("hex"),
    roles: Object.fromEntries(roles) as Record<StoreRole, RoleStatus>,
    disks: await parts.room.report(),
    breakers: parts.stores.breakers?.() ?? [],
  };
}

async function roleStatus(parts: StatusParts, scope: Scope, role: StoreRole): Promise<RoleStatus> {
  const entry = parts.stores.engine(role);
  const { engine, product } = entry;
  const base = {
    engine,
    product,
    lag: 0,
    encrypted: encryption(entry, parts.isSealed),
    projections: [],
  };
  try {
    if (isProjected(role)) return await projectedStatus(parts, scope, role, base);
    const { records, bytes } = await usage(parts, scope, role);
    if (role !== "stream") return { ...base, records, bytes, condition: "ok" };
    return { ...base, records, bytes, ...(await parts.publisher.state(scope)) };
  } catch (cause) {
    // A store that does not answer must not keep the state of the others from being seen.
    if (!(cause instanceof StoreError) || cause.code !== "unavailable") throw cause;
    return { ...base, records: 0, bytes: 0, condition: "waiting", reason: cause.message };
  }
}

type BaseStatus = Omit<RoleStatus, "records" | "bytes" | "condition">;

async function projectedStatus(
  parts: StatusParts,
  scope: Scope,
  role: ProjectedRole,
  base: BaseStatus,
): Promise<RoleStatus> {
  const store = await parts.stores.projected(role);
  const statistics = await store.statistics(scope);
  const quarantined = await parts.journal.quarantine(scope, { role, limit: 100_000 });
  const projections: ProjectionStatus[] = [];
  for (const plan of parts.runner.plans(scope, { roles: [role] })) {
    if ((await parts.journal.lastSequence(scope, plan.types)) === 0) continue;
    const count = quarantined.filter(({ collection }) => collection === plan.name).length;
    projections.push(
      await projectionStatus(parts, scope, plan, { statistics, quarantined: count }),
    );
  }
  const lag = projections.reduce((sum, projection) => sum + projection.lag, 0);
  const journalBytes = role === "relational" ? await parts.journal.bytes() : 0;
  return {
    ...base,
    projections,
    records: projections.reduce((sum, projection) => sum + projection.records, 0),
    bytes: statistics.bytes + journalBytes,
    lag,
    condition: conditionOf(projections, lag),
  };
}

async function projectionStatus(
  parts: StatusParts,
  scope: Scope,
  plan: ProjectionPlan,
  known: {
    readonly statistics: {
      readonly collections: readonly { name: string; generation: number; records: number }[];
    };
    readonly quarantined: number;
  },
): Promise<ProjectionStatus> {
  const projector = await parts.runner.active(scope, plan);
  const { generation } = projector.projection.collection;
  const { checkpoint, last } = await parts.runner.lag(scope, plan);
  const stored = known.statistics.collections.find(
    (collection) => collection.name === plan.name && collection.generation === generation,
  );
  return {
    name: plan.name,
    generation,
    records:
      plan.owner === undefined ? (stored?.records ?? 0) : await taken(parts, scope, plan, known),
    checkpoint,
    lag: Math.max(0, last - checkpoint),
    condition: projector.condition,
    quarantined: known.quarantined,
    ...(projector.reason === undefined ? {} : { reason: projector.reason }),
  };
}

/**
 * Records of a projection that is kept per owner, by the journal: counting them where they lie would
 * open a file for each owner, which takes DuckDB half a second each.
 */
async function taken(
  { journal }: StatusParts,
  scope: Scope,
  plan: ProjectionPlan,
  { quarantined }: { readonly quarantined: number },
): Promise<number> {
  const [type = ""] = plan.types;
  return (await journal.count(scope, type)).live - quarantined;
}

function conditionOf(
  projections: readonly ProjectionStatus[],
  lag: number,
): RoleStatus["condition"] {
  if (projections.some(({ condition }) => condition === "failed")) return "failed";
  if (projections.some(({ condition }) => condition === "waiting")) return "waiting";
  return lag > 0 ? "lagging" : "ok";
}

async function usage(
  parts: StatusParts,
  scope: Scope,
  role: StoreRole,
): Promise<{ readonly records: number; readonly bytes: number }> {
  switch (role) {
    case "blob": {
      const { blobs, bytes } = await (await parts.stores.blob()).usage(scope);
      return { records: blobs, bytes };
    }
    case "cache": {
      const { entries, bytes } = await (await parts.stores.cache()).statistics(scope);
      return { records: entries, bytes };
    }
    case "stream":
      // Its events are the journal's entries; what a server keeps of them is its own affair.
      return { records: (await parts.journal.head(scope))?.sequence ?? 0, bytes: 0 };
    default:
      return { records: 0, bytes: 0 };
  }
}

function encryption({ role, atRest }: EngineEntry, isSealed: boolean): string {
  if (!isSealed) return "nothing: encryption is switched off";
  if (role === "relational") return "inline lines and keys; tables and indexes are plain";
  return atRest === "sealed"
    ? "everything, AES-256-GCM"
    : "nothing: a copy that can be rebuilt; put it on an encrypted disk";
}

function isProjected(role: StoreRole): role is ProjectedRole {
  return PROJECTED_ROLES.some((projected) => projected === role);
}
