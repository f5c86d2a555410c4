import type { Pack } from "@custody/contract/importer";
import type { StoreRole } from "@custody/contract/placement";
import type { EngineUrls } from "@custody/server/open-stores";
import { redteamPack } from "@custody/packs/redteam/redteam-pack";
import { sessionEvidence } from "@custody/packs/redteam/types/session-evidence";

import type { ServerRequest, Target } from "./run-request.ts";

/** The role that a target is measured in. */
export function roleOf(target: Exclude<Target, "journal"> | "blob"): StoreRole {
  return target === "series-influxdb" ? "series" : target;
}

/** The engines that Custody is opened with, by role. */
export function enginesOf({ targets, urls }: ServerRequest): EngineUrls {
  const wanted = targets.flatMap((target) =>
    target === "journal" ? (["relational", "blob"] as const) : [target],
  );
  return Object.fromEntries(wanted.map((target) => [roleOf(target), urls[target]]));
}

/** The evidence's type placed in the wanted roles alone; of all it is the pack as it comes. */
export function packOf(targets: readonly Target[]): Pack {
  const { document, search, series = [], analytics, graph } = sessionEvidence.placements;
  const has = (...names: readonly Target[]): boolean =>
    names.some((name) => targets.includes(name));
  return {
    ...redteamPack,
    importers: [],
    summaries: has("relational") ? redteamPack.summaries : [],
    types: [
      {
        ...sessionEvidence,
        placements: {
          ...(document !== undefined && has("document") ? { document } : {}),
          ...(search !== undefined && has("search") ? { search } : {}),
          ...(has("series", "series-influxdb") ? { series } : {}),
          ...(graph !== undefined && has("graph") ? { graph } : {}),
          // Every type has a table; where it is not what is measured, it has one column.
          analytics:
            analytics !== undefined && has("analytics")
              ? analytics
              : { columns: { id: { type: "text", from: "id" } } },
        },
      },
    ],
  };
}
