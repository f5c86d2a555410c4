/** A store of a world, as faults name it. */
export type StoreName =
  | "journal"
  | "blob"
  | "backup"
  | "cache"
  | "stream"
  | "document"
  | "search"
  | "relational"
  | "series"
  | "analytics"
  | "graph";

/** Every store of a world. */
export const STORE_NAMES: readonly StoreName[] = [
  "journal",
  "blob",
  "backup",
  "cache",
  "stream",
  "document",
  "search",
  "relational",
  "series",
  "analytics",
  "graph",
];

/**
 * What goes wrong with a store for a while.
 *
 * - `down`: nothing gets through.
 * - `flapping`: every other call does not get through.
 * - `deaf`: what is asked is done, and the answer is lost.
 * - `slow`: answers take their time.
 * - `full`: nothing can be written.
 * - `partial`: a bulk is written in part, and then fails.
 * - `repeating`: what was asked is done once more, later.
 * - `flipping`: bits of what is read are turned.
 * - `short`: a write to disk stops half-way.
 */
export type WindowKind =
  | "down"
  | "flapping"
  | "deaf"
  | "slow"
  | "full"
  | "partial"
  | "repeating"
  | "flipping"
  | "short";

/** One thing that goes wrong, as a plan holds it. */
export type Fault =
  | {
      readonly kind: WindowKind;
      readonly store: StoreName;
      readonly fromMs: number;
      readonly untilMs: number;
    }
  /** A process ends at its n-th call of a store: before the store hears of it, or before the answer. */
  | {
      readonly kind: "crash";
      readonly slot: number;
      readonly call: number;
      readonly phase: "before" | "after";
      readonly downMs: number;
    }
  /** Every process ends and the disk forgets what was not synced. */
  | {
      readonly kind: "power";
      readonly atMs: number;
      /** Projected stores that come back older than they were. */
      readonly older: readonly StoreName[];
      readonly downMs: number;
    }
  /** A process does not run for a while, and does not notice. */
  | {
      readonly kind: "stall";
      readonly slot: number;
      readonly atMs: number;
      readonly forMs: number;
    }
  /** A process's clock is put forward or back. */
  | {
      readonly kind: "clock";
      readonly slot: number;
      readonly atMs: number;
      readonly byMs: number;
    };

const NO_WINDOWS: ReadonlySet<WindowKind> = new Set();

/** The windows that are open for a store at an instant. */
export function openWindows(
  faults: readonly Fault[],
  store: StoreName,
  ms: number,
): ReadonlySet<WindowKind> {
  let open: Set<WindowKind> | undefined;
  for (const fault of faults) {
    if (!("untilMs" in fault) || fault.store !== store) continue;
    if (fault.fromMs <= ms && ms < fault.untilMs) open = (open ?? new Set()).add(fault.kind);
  }
  return open ?? NO_WINDOWS;
}

/** Whether a store has had no trouble for a while, up to an instant. */
export function isQuietSince(
  faults: readonly Fault[],
  store: StoreName,
  [fromMs, untilMs]: readonly [number, number],
): boolean {
  return faults.every((fault) => {
    if ("untilMs" in fault)
      return fault.store !== store || fault.untilMs <= fromMs || fault.fromMs >= untilMs;
    return true;
  });
}
