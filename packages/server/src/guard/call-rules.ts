/** How one method of a store is guarded. */
export interface CallRule {
  /**
   * True where the same call may be made again whatever became of the first: reads, and writes that the
   * port says change nothing when they are repeated.
   */
  readonly isRepeatable: boolean;
  /** How long it may take where the caller sets no deadline: a time of {@link CallTimes}, or no limit. */
  readonly time: keyof CallTimes | "unlimited";
}

/** How long calls may take whose callers set no deadline. */
export interface CallTimes {
  /** One question, one page, one small value. */
  readonly readMs: number;
  /** A delivery in bulk. */
  readonly writeMs: number;
}

const read: CallRule = { isRepeatable: true, time: "readMs" };
// These carry a time of their own, which a person has chosen.
const timedRead: CallRule = { isRepeatable: true, time: "unlimited" };
const repeatableWrite: CallRule = { isRepeatable: true, time: "writeMs" };
// Whoever calls these repeats them itself, and looks first what became of the call before.
const write: CallRule = { isRepeatable: false, time: "writeMs" };
// These take as long as there is data: how long says nothing about the store.
const longWork: CallRule = { isRepeatable: false, time: "unlimited" };

const METHODS: readonly (readonly [CallRule, string])[] = [
  // The journal. A transaction's own calls are not guarded: none of them may be repeated, and its
  // driver limits each; `begin` waits for other writers, which is no fault of the store.
  [
    read,
    "head tenants entries entry lastSequence lookup lookupBefore count inlineLines treeNodes treeHead " +
      "treeHeads segment segments receipt state listState quarantine tableRows bytes",
  ],
  [repeatableWrite, "putState renewIntents takeExpiredIntents takeIntents dropIntents"],
  [write, "putIntent putQuarantine dropQuarantine relocate"],
  // Projected stores.
  [
    read,
    "checkpoint statistics list find search highlight aggregate similar select neighbours paths",
  ],
  [read, "explain explainSql"],
  [timedRead, "query sql"],
  [write, "prepare apply repair publish"],
  [longWork, "digest settle discard rollup"],
  // Blobs. What `put` reads may be a stream, which cannot be read twice.
  [read, "read stream stat usage protection"],
  [longWork, "put"],
  [repeatableWrite, "delete legalHold retain"],
  // Cache.
  [read, "get"],
  [write, "increment acquire clear"],
  // Queue.
  [read, "deadLetters depth"],
  [repeatableWrite, "enqueue remove schedule unschedule"],
  [write, "claim extend complete fail revive tick"],
  // Stream.
  [read, "poll groups partitions"],
  [repeatableWrite, "acknowledge seek"],
  [longWork, "fetch"],
];

/** The rule of each guarded method; methods without one are passed on as they are. */
export const CALL_RULES: ReadonlyMap<string, CallRule> = new Map(
  METHODS.flatMap(([rule, names]) => names.split(" ").map((name) => [name, rule] as const)),
);

/** How a store is opened: by connecting, which has limits of its own and is repeated by whoever asks. */
export const OPENING: CallRule = { isRepeatable: false, time: "unlimited" };
