import { makeBatch } from "@custody/stores/record-batch";
import type { JournalStore, QuarantineRow } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { Answers } from "../cache/answers.ts";
import type { Custody } from "../custody.ts";
import { CoreError } from "../errors.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import type { ProjectionPlan } from "../projection/projections.ts";
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

async function repairRow(
  parts: QuarantineParts,
  scope: Scope,
  row: QuarantineRow,
  plan: ProjectionPlan,
): Promise<boolean> {
  const [position] = await parts.journal.lookup(scope, row.type, [row.id]);
  if (position === undefined || position.isDeleted) return true;
  const { projection } = await parts.runner.active(scope, plan);
  const { text, line } = await parts.reader.recordAt(scope, position);
  const observed = line.observedAt === undefined ? {} : { observedAt: line.observedAt };
  const store = await parts.runner.store(projection);
  try {
    const batch = makeBatch(row.type, [
      { id: row.id, sequence: position.sequence, text, ...observed },
    ]);
    await store.repair(scope, projection.collection, batch);
    return true;
  } catch (cause) {
    if (!isRefusal(cause)) throw cause;
    await parts.journal.putQuarantine(scope, [{ ...row, reason: cause.message }]);
    return false;
  }
}
