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
  const of = role === "relational" ? [role, "journal"] : [role];
  const open = stores.breakers?.().filter(({ store }) => of.includes(store)) ?? [];
  const breakers = open.length === 0 ? {} : { breakers: open };
  try {
    const health = await stores.health(role);
    return { role, engine, product, ...breakers, ...health };
  } catch (cause) {
    return {
      role,
      engine,
      product,
      ...breakers,
      trouble: cause instanceof Error ? cause.message : String(cause),
    };
  }
}
