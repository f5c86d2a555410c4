import { createCustody, CUSTODY_SETTINGS } from "@custody/core/create-custody";
import type { CustodyParts } from "@custody/core/create-custody";
import type { Custody } from "@custody/core/custody";
import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "@custody/core/stores";
import { PACKS } from "@custody/packs/catalogue";
import { detectFormat } from "@custody/packs/reading/detection";
import { openSource } from "@custody/packs/reading/source";
import { StoreError } from "@custody/stores/errors";

import { initCustody } from "../compose.ts";
import { StoreGuards } from "../guard/store-guards.ts";
import { nodeRuntime } from "../node-runtime.ts";
import { openStores } from "../open-stores.ts";

/** How a store is stopped: it refuses connections, or takes them and never answers. */
export type Stop = "refusing" | "silent";

/** A real installation on embedded engines, of which the store of one role can be stopped. */
export interface StoppableInstallation extends AsyncDisposable {
  readonly custody: Custody;
  /** From now on calls of the store are not answered; those under way are. */
  readonly stop: (how: Stop) => void;
  /** It answers again; what it was asked in silence fails, as when a connection breaks. */
  readonly start: () => void;
  /** Calls that reached the store while it was stopped: what the guard let through. */
  readonly callsWhileStopped: () => number;
}

export interface StoppableOptions extends Pick<CustodyParts, "onNotice" | "onProjected"> {
  /** Of a new installation. */
  readonly dataDirectory: string;
  readonly keyFile: string;
  readonly role: ProjectedRole;
}

/** Makes an installation whose store of the role stands behind a guard, as one on a server does. */
export async function openStoppable(options: StoppableOptions): Promise<StoppableInstallation> {
  const { dataDirectory: directory, keyFile, role, onNotice, onProjected } = options;
  await initCustody({ dataDirectory: directory, keyFile });
  const runtime = nodeRuntime(directory);
  const { clock, random } = runtime;
  const keys = await openLocalKeyService({ directory, keyFile, random });
  const told = onNotice === undefined ? {} : { onNotice };
  const guards = new StoreGuards({ clock, random, ...told });
  const switched = new Switch();
  const real = openStores({ dataDirectory: directory, engines: {}, keys });
  const custody = await createCustody({
    packs: PACKS,
    stores: stoppable(real, { role, guards, switched }),
    keys,
    runtime,
    reading: {
      importers: PACKS.flatMap(({ importers }) => importers),
      open: openSource,
      detect: detectFormat,
    },
    settings: CUSTODY_SETTINGS,
    ...told,
    ...(onProjected === undefined ? {} : { onProjected }),
  });
  return {
    custody,
    stop: (how) => switched.stop(how),
    start: () => switched.start(),
    callsWhileStopped: () => switched.calls,
    [Symbol.asyncDispose]: () => custody[Symbol.asyncDispose](),
  };
}

function stoppable(
  stores: Stores,
  parts: { readonly role: ProjectedRole; readonly guards: StoreGuards; readonly switched: Switch },
): Stores {
  const { role: stopped, guards, switched } = parts;
  const { product } = stores.engine(stopped);
  let kept: Promise<object> | undefined;
  return {
    ...stores,
    breakers: () => guards.reports(),
    projected: <Role extends ProjectedRole>(role: Role): Promise<ProjectedStoresByRole[Role]> => {
      if (role !== stopped) return stores.projected(role);
      const open = async (): Promise<object> => behind(await stores.projected(role), switched);
      kept ??= guards.open({ name: stopped, product }, open);
      return kept as Promise<ProjectedStoresByRole[Role]>;
    },
  };
}

/** A store whose calls arrive only while the switch is on. */
function behind<Store extends object>(store: Store, switched: Switch): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function" || typeof name !== "string") return member;
      return async (...args: readonly unknown[]): Promise<unknown> => {
        await switched.pass();
        return (await Reflect.apply(member, target, args)) as unknown;
      };
    },
  });
}

/** Switch: between a caller and a store. */
class Switch {
  calls = 0;
  #stopped: Stop | undefined;
  #again = Promise.withResolvers<void>();

  stop(how: Stop): void {
    this.#stopped = how;
    this.#again = Promise.withResolvers<void>();
  }

  start(): void {
    this.#stopped = undefined;
    this.#again.resolve();
  }

  async pass(): Promise<void> {
    if (this.#stopped === undefined) return;
    this.calls += 1;
    if (this.#stopped === "silent") await this.#again.promise;
    throw new StoreError("unavailable", "the connection was lost");
  }
}
