import type { Delivery } from "@custody/stores/record-batch";

import type { DiskRoom } from "../journal/disk-room.ts";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "../stores.ts";

/**
 * The stores, of which the embedded ones are not written while the disk they share with the journal is
 * low: their projectors wait, as for any store that has no room, and go on when there is some. A store
 * on a server has a disk of its own.
 */
export function pauseWhenLow(stores: Stores, room: DiskRoom): Stores {
  const paused = new WeakMap<object, object>();
  return {
    ...stores,
    projected: async <Role extends ProjectedRole>(
      role: Role,
    ): Promise<ProjectedStoresByRole[Role]> => {
      const store = await stores.projected(role);
      if (stores.engine(role).schemes.length > 0) return store;
      const known = paused.get(store) ?? pausedStore(store, room);
      paused.set(store, known);
      return known as ProjectedStoresByRole[Role];
    },
  };
}

function pausedStore<Store extends object>(store: Store, room: DiskRoom): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if (name !== "apply") return member.bind(target) as unknown;
      return async (...args: readonly unknown[]): Promise<unknown> => {
        using _ = await room.hold(bytesOf(args));
        return (await Reflect.apply(member, target, args)) as unknown;
      };
    },
  });
}

/** The bytes of the records that an `apply` is given, which is its third argument. */
function bytesOf([, , delivery]: readonly unknown[]): number {
  const { batches } = delivery as Delivery;
  return batches.reduce((sum, { text }) => sum + text.byteLength, 0);
}
