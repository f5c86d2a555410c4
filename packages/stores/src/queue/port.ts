import type { Scope } from "../scope.ts";

/**
 * Queue: tasks by priority, each done by one worker at a time and at least once.
 *
 * A claimed task carries a lease with a fencing token; when the lease runs out the task may be
 * claimed again and the earlier worker's `complete`, `fail` and `extend` are refused; a lease that runs out
 * in the last attempt makes a dead letter. The queue is a projection of task records: it can be rebuilt
 * from them.
 *
 * Names and ids are any text of 1 to `limits.nameLengthMax` UTF-16 units.
 */
export interface Queue extends AsyncDisposable {
  readonly role: "queue";
  readonly engine: string;
  readonly limits: QueueLimits;

  /**
   * Adds a task. The same id again changes nothing and answers false, also after the task was done (the
   * last 100,000 done in a queue are remembered), so that a projector may repeat itself.
   *
   * @throws StoreError `limit` for a payload, name or priority over the limits.
   */
  enqueue(scope: Scope, queue: string, task: NewTask): Promise<boolean>;
  /** Takes the due task of highest priority, oldest first among equals; `undefined` when none is due. */
  claim(
    scope: Scope,
    queue: string,
    options: { readonly worker: string; readonly leaseMs: number },
  ): Promise<ClaimedTask | undefined>;
  /** Prolongs the lease. @throws StoreError `conflict` when it is lost. */
  extend(scope: Scope, lease: TaskLease, leaseMs: number): Promise<void>;
  /** Marks the task done. @throws StoreError `conflict` when the lease is lost. */
  complete(scope: Scope, lease: TaskLease): Promise<void>;
  /**
   * Gives the task back: it is due again after a back-off that doubles with each attempt, or becomes
   * a dead letter after its last. Only the first 4,096 characters of the reason are kept. @throws StoreError `conflict` when the lease is lost.
   */
  fail(scope: Scope, lease: TaskLease, reason: string): Promise<"retry" | "dead">;
  /** Dead letters, oldest first; `after` is the id of the last one seen. */
  deadLetters(
    scope: Scope,
    queue: string,
    options: { readonly limit: number; readonly after?: string },
  ): Promise<readonly DeadLetter[]>;
  /** Makes a dead letter due again with its attempts counted anew; false when there is none. */
  revive(scope: Scope, queue: string, id: string): Promise<boolean>;
  /** Removes a task in whatever state. Absence is no error. */
  remove(scope: Scope, queue: string, id: string): Promise<void>;
  /**
   * Sets or replaces a schedule that enqueues a task whenever it is due. The task of an instant has the
   * id `<schedule>@<epoch milliseconds>`.
   */
  schedule(scope: Scope, queue: string, schedule: TaskSchedule): Promise<void>;
  unschedule(scope: Scope, queue: string, id: string): Promise<void>;
  /** Enqueues what schedules have become due; once for each due instant, also after downtime only the latest. Answers how many. */
  tick(scope: Scope): Promise<number>;
  depth(scope: Scope, queue: string): Promise<QueueDepth>;
}

export interface QueueLimits {
  readonly payloadBytesMax: number;
  readonly nameLengthMax: number;
  /** Priorities are from the negative of it to it. */
  readonly priorityMax: number;
}

export interface NewTask {
  readonly id: string;
  readonly payload: Uint8Array;
  /** Higher goes first; default 0. */
  readonly priority?: number;
  /** Epoch milliseconds before which it is not due; default now. */
  readonly dueAt?: number;
  /** Default 5. */
  readonly attemptsMax?: number;
  /** First back-off; default 1,000 ms, at most an hour. */
  readonly backoffMs?: number;
}

export interface TaskLease {
  readonly queue: string;
  readonly id: string;
  /** Grows with each claim of the task; what a worker writes elsewhere carries it. */
  readonly fencingToken: number;
}

export interface ClaimedTask extends TaskLease {
  readonly payload: Uint8Array;
  /** 1 for the first. */
  readonly attempt: number;
  readonly expiresAt: number;
}

export interface DeadLetter {
  readonly id: string;
  readonly payload: Uint8Array;
  readonly attempts: number;
  readonly reason: string;
  readonly diedAt: number;
}

export interface TaskSchedule {
  readonly id: string;
  /** A period in milliseconds, counted from `startAt`. */
  readonly everyMs: number;
  readonly startAt: number;
  readonly payload: Uint8Array;
  readonly priority?: number;
}

export interface QueueDepth {
  readonly due: number;
  readonly later: number;
  readonly claimed: number;
  readonly dead: number;
}
