import type { CustodyParts } from "./create-custody.ts";
import { DiskRoom } from "./journal/disk-room.ts";
import { pauseWhenLow } from "./projection/pause-when-low.ts";
import { SelfHealing } from "./projection/self-healing.ts";
import { SlowCalls } from "./query/slow-calls.ts";
import type { Stores } from "./stores.ts";

/** The stores as core uses them, and what watches over them. */
export interface WatchedStores {
  /** Paused while the disk is low, looked after when damaged, their slow reads remembered. */
  readonly stores: Stores;
  readonly room: DiskRoom;
  readonly healing: SelfHealing;
  readonly slowCalls: SlowCalls;
}

/** Puts what watches over the stores around them. */
export function watchStores({ stores, runtime, settings, onNotice }: CustodyParts): WatchedStores {
  const told = onNotice === undefined ? {} : { onNotice };
  const { diskLowBytes: lowBytes, slowMs } = settings;
  const room = new DiskRoom({ runtime, ...told, ...(lowBytes === undefined ? {} : { lowBytes }) });
  const healing = new SelfHealing({ runtime, ...told });
  const slowCalls = new SlowCalls({ journal: stores.journal, clock: runtime.clock, slowMs });
  const watched = slowCalls.watch(healing.watch(pauseWhenLow(stores, room)));
  return { stores: watched, room, healing, slowCalls };
}
