import type { ProjectedStore } from "@custody/stores/projected-store";
import type { Scope } from "@custody/stores/scope";

import { OwnedStore } from "./owned-store.ts";
import type { ProjectionRunnerParts } from "./projection-runner.ts";
import type { Projection } from "./projections.ts";
import { Projector } from "./projector.ts";
import type { Turns } from "./turns.ts";

interface StoreParts extends Pick<ProjectionRunnerParts, "stores" | "owners" | "journal"> {
  /** For engines whose files are written one after another. */
  readonly turns: Turns;
}

/** The store of a projection; where each owner has a file, one that keeps them apart. */
export async function storeOf(
  { stores, owners, journal, turns }: StoreParts,
  { role, owner, isCounted }: Pick<Projection, "role" | "owner" | "isCounted">,
): Promise<ProjectedStore<unknown>> {
  const store: ProjectedStore<unknown> = await stores.projected(role);
  if (owner === undefined) return store;
  return new OwnedStore({ store, role, owner, isShared: isCounted, owners, journal, turns });
}

/** Makes the projector of one build of a projection, which follows the journal when it is asked to. */
export async function makeProjector(
  parts: StoreParts & ProjectionRunnerParts & { readonly signal: AbortSignal },
  { tenant }: Pick<Scope, "tenant">,
  projection: Projection,
): Promise<Projector> {
  const { source, journal, runtime, signal, onProgress, onNotice } = parts;
  const store = await storeOf(parts, projection);
  const scope: Scope = { tenant, actor: "service:projector", deadline: Number.POSITIVE_INFINITY };
  return new Projector({
    scope,
    projection,
    store,
    source,
    journal,
    runtime,
    signal,
    ...(store instanceof OwnedStore
      ? { underway: () => store.underway(scope, projection.collection) }
      : {}),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(onNotice === undefined ? {} : { onNotice }),
  });
}
