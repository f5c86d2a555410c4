import { STORE_ROLES } from "@custody/contract/placement";
import type { StoreRole } from "@custody/contract/placement";

import type { EngineReport } from "../reports.ts";
import type { Stores } from "../stores.ts";

/** Asks the server of each role how it is; one that does not answer is told with the reason. */
export function reportEngines(stores: Stores): Promise<readonly EngineReport[]> {
  return Promise.all(STORE_ROLES.map((role) => reportEngine(stores, role)));
}

async function reportEngine(stores: Stores, role: StoreRole): Promise<EngineReport> {
  const { engine, product } = stores.engine(role);
  try {
    const health = await stores.health(role);
    return { role, engine, product, ...health };
  } catch (cause) {
    return {
      role,
      engine,
      product,
      trouble: cause instanceof Error ? cause.message : String(cause),
    };
  }
}
