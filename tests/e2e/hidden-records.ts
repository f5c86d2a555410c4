import { planProjections } from "@custody/core/projection/projections";
import { TypeRegistry } from "@custody/core/records/type-registry";
import type { ProjectedRole } from "@custody/core/stores";
import { PACKS } from "@custody/packs/catalogue";
import { openStores } from "@custody/server/open-stores";
import type { EngineUrls } from "@custody/server/open-stores";
import { makeBatch } from "@custody/stores/record-batch";
import type { Collection, ProjectedStore } from "@custody/stores/projected-store";

import { scope } from "./mixed-installation.ts";

const TYPE = "redteam/session_evidence";

/** The roles whose stores a record is hidden in: each keeps its records as rows of their own. */
export const HIDDEN: readonly ProjectedRole[] = ["document", "search", "analytics"];

/** Takes one record out of each such store, opened beside Custody, which must be closed. */
export async function hideRecords(dataDirectory: string, engines: EngineUrls): Promise<void> {
  const keys = { ownerSalt: async () => new Uint8Array(32) };
  await using stores = openStores({ dataDirectory, engines, keys });
  const plans = planProjections(new TypeRegistry(PACKS), scope.tenant);
  for (const role of HIDDEN) {
    const { placements } = plans.find((one) => one.role === role && one.name === TYPE) ?? {};
    const collection: Collection<unknown> = {
      name: TYPE,
      generation: 1,
      placements: placements ?? {},
    };
    const store = (await stores.projected(role)) as ProjectedStore<unknown>;
    const range = { fromSequence: 0, toSequence: Number.MAX_SAFE_INTEGER, limit: 1 };
    const [row] = (await store.list(scope, collection, range)).rows;
    if (row === undefined) throw new Error(`the ${role} store has no record to hide`);
    await store.repair(
      scope,
      collection,
      makeBatch(TYPE, [{ id: row.id, sequence: row.sequence }]),
    );
  }
}
