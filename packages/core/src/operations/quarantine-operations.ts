import type { ProjectedStore } from "@custody/stores/projected-store";
import { makeBatch } from "@custody/stores/record-batch";
import type { IdPosition, JournalStore, QuarantineRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { Answers } from "../cache/answers.ts";
import type { Custody } from "../custody.ts";
import { CoreError } from "../errors.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import { OwnedStore } from "../projection/owned-store.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import type { Projection, ProjectionPlan } from "../projection/projections.ts";
import { isRefusal } from "../projection/quarantine.ts";
import { PROJECTED_ROLES } from "../stores.ts";
import type { Stores } from "../stores.ts";

export interface QuarantineParts {
  readonly journal: JournalStore;
  readonly reader: JournalReader;
  readonly runner: ProjectionRunner;
  readonly stores: Stores;
  readonly answers: Pick<Answers, "forget">;
}

const LIST_DEFAULT = 100;
const ALL = 100_000;
// A projector that is never still for two calls is being caught up; the row stays listed till then.
const REPAIRS_MAX = 10;

/** Makes the quarantine's part of the library. */
export function createQuarantine(parts: QuarantineParts): Custody["quarantine"] {
  const list = (
    scope: Scope,
    options: { role?: string; limit?: number } = {},
  ): Promise<readonly QuarantineRow[]> =>
    parts.journal.quarantine(scope, { limit: options.limit ?? LIST_DEFAULT, ...roleOf(options) });
  return {
    list,
    replay: async (scope, options = {}) => {
      let replayed = 0;
      const rebuilt = new Set<string>();
      for (const row of await list(scope, { ...options, limit: ALL })) {
        if (await replayRow(parts, scope, row, rebuilt)) replayed += 1;
      }
      if (replayed > 0) await parts.answers.forget(scope);
      const remaining = (await list(scope, { ...options, limit: ALL })).length;
      return { replayed, remaining };
    },
    discard: async (scope, options = {}) => {
      const rows = await list(scope, { ...options, limit: ALL });
      await parts.journal.dropQuarantine(scope, rows);
      return rows.length;
    },
  };
}

function roleOf({ role }: { readonly role?: string }): { readonly role?: string } {
  return role === undefined ? {} : { role };
}

/** Tries a record again in the store that refused it; true when it was taken. */
async function replayRow(
  parts: QuarantineParts,
  scope: Scope,
  row: QuarantineRow,
  rebuilt: Set<string>,
): Promise<boolean> {
  const role = PROJECTED_ROLES.find((projected) => projected === row.role);
  if (role === undefined) throw new CoreError("failed", `there is no role ${row.role}`);
  const plan = parts.runner.requirePlan(scope, role, row.collection);
  if (plan.isCounted) {
    // A store that counts contributions takes a record only in its turn: one rebuild replays all, and
    // writes down again what is refused again.
    const key = `${role} ${plan.name}`;
    const query = { role, collection: plan.name, limit: ALL };
    if (!rebuilt.has(key)) {
      const rows = await parts.journal.quarantine(scope, query);
      const forget = (): Promise<void> => parts.journal.dropQuarantine(scope, rows);
      await parts.runner.rebuild(scope, { roles: [role], names: [plan.name] }, forget);
    }
    rebuilt.add(key);
    const again = await parts.journal.quarantine(scope, query);
    return !again.some(({ type, id }) => type === row.type && id === row.id);
  }
  const isTaken = await repairRow(parts, scope, row, plan);
  // Forgotten last: a crash before leaves a row too many, never a record that is missed by nobody.
  if (isTaken) await parts.journal.dropQuarantine(scope, [row]);
  return isTaken;
}

/** Writes the record as the projection should have it by now; what comes later is the projector's. */
async function repairRow(
  parts: QuarantineParts,
  scope: Scope,
  row: QuarantineRow,
  plan: ProjectionPlan,
): Promise<boolean> {
  const { projection } = await parts.runner.active(scope, plan);
  const { collection } = projection;
  const store = await parts.runner.store(projection);
  const versionAt = async (sequence: number): Promise<IdPosition | undefined> => {
    const key = { id: row.id, sequence: sequence + 1 };
    return (await parts.journal.lookupBefore(scope, row.type, [key]))[0];
  };
  for (let tries = 0; tries < REPAIRS_MAX; tries += 1) {
    const checkpoint = await store.checkpoint(scope, collection);
    // Some owners' files are ahead of the others: which version belongs where is not settled yet.
    if ((await writtenTo(scope, store, projection)) > checkpoint) {
      if (tries === 0) return false;
      await parts.runner.catchUp(scope, { roles: [plan.role], names: [plan.name] });
      continue;
    }
    // Written down for a delivery that is about to be written without it: it is missed from then on.
    if (row.sequence > checkpoint) return false;
    const position = await versionAt(checkpoint);
    // Deleted meanwhile, it may have been written again by the last try.
    if (position === undefined || (position.isDeleted && tries === 0)) return true;
    const record = await recordAt(parts.reader, scope, row.id, position);
    try {
      await store.repair(scope, collection, makeBatch(row.type, [record]));
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      await parts.journal.putQuarantine(scope, [{ ...row, reason: cause.message }]);
      return false;
    }
    // A later version that the projector wrote meanwhile may have been overwritten with this one.
    const written = await writtenTo(scope, store, projection);
    if (written === checkpoint) return true;
    if ((await versionAt(written))?.sequence === position.sequence) return true;
  }
  return false;
}

async function recordAt(
  reader: JournalReader,
  scope: Scope,
  id: string,
  position: IdPosition,
): Promise<Parameters<typeof makeBatch>[1][number]> {
  const { sequence, isDeleted } = position;
  if (isDeleted) return { id, sequence };
  const { text, line } = await reader.recordAt(scope, position);
  const observed = line.observedAt === undefined ? {} : { observedAt: line.observedAt };
  return { id, sequence, text, ...observed };
}

/** How far a store may have been written: to its checkpoint, or beyond it in some owners' files. */
async function writtenTo(
  scope: Scope,
  store: ProjectedStore<unknown>,
  { collection }: Projection,
): Promise<number> {
  const checkpoint = await store.checkpoint(scope, collection);
  const underway = store instanceof OwnedStore ? await store.underway(scope, collection) : 0;
  return Math.max(checkpoint, underway);
}
