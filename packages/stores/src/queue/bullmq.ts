import { checkTenant } from "@custody/contract/ids";

import {
  BULLMQ_PRIORITY_MAX,
  bullmqLayout,
  bullmqPriority,
  decodeData,
  decodeJobId,
  encodeData,
  encodeJobId,
  encodeName,
} from "../drivers/bullmq-layout.ts";
import type { BullmqLayout } from "../drivers/bullmq-layout.ts";
import { openRedisConnection } from "../drivers/redis.ts";
import type { RedisConnection, RedisScript } from "../drivers/redis.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import * as scripts from "./bullmq-scripts.ts";
import {
  BACKOFF_MS_MAX,
  DONE_MAX,
  REASON_LENGTH_MAX,
  TASK_DEFAULTS,
  checkLease,
  checkQueue,
  checkSchedule,
  checkTask,
} from "./limits.ts";
import type { ClaimedTask, DeadLetter, NewTask, Queue, QueueLimits, TaskLease } from "./port.ts";

export interface BullmqQueueOptions {
  readonly url: string;
  /** Milliseconds since the Unix epoch in place of the server's; for tests and simulations alone. */
  readonly simulatedClock?: () => number;
}

const LIMITS: QueueLimits = {
  payloadBytesMax: 1024 * 1024,
  nameLengthMax: 512,
  priorityMax: BULLMQ_PRIORITY_MAX,
};

/**
 * Queue in the structures of BullMQ on Redis (6.2 or later) or Valkey: what is queued can be looked at,
 * paused and worked on with BullMQ's own tools, under the prefix `<prefix>:<tenant>:scan:queue` and the
 * queue's name, percent-encoded; `high_priority` stays as it is.
 *
 * `redis://user:password@host:6379/0?prefix=custody`, by TLS `rediss://…`; `cluster=true` and
 * `sentinel=<primary>` as for the cache. The server must keep what it is given:
 * `maxmemory-policy noeviction`, which `health` checks, and `appendonly yes`.
 *
 * Tasks move by scripts of our own on BullMQ's structures, as its commands know no fencing tokens, count an
 * attempt when it ends and find a lost lease at their second look. Times are the server's.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the library is not installed.
 */
export async function openBullmqQueue({
  url,
  simulatedClock,
}: BullmqQueueOptions): Promise<Queue & ServerEngine> {
  return new BullmqQueue(await openRedisConnection(url), simulatedClock);
}

class BullmqQueue implements Queue, ServerEngine {
  readonly role = "queue";
  readonly engine = "bullmq";
  readonly limits = LIMITS;
  readonly #redis: RedisConnection;
  readonly #clock: (() => number) | undefined;

  constructor(redis: RedisConnection, clock: (() => number) | undefined) {
    this.#redis = redis;
    this.#clock = clock;
  }

  async enqueue(scope: Scope, queue: string, task: NewTask): Promise<boolean> {
    checkTask(LIMITS, queue, task);
    const job = encodeJobId(task.id);
    const { data, encoding, opts, priority, max, backoff } = jobOf(job, task);
    const due = task.dueAt ?? -1;
    const args = [job, data, encoding, opts, priority, due, max, backoff];
    return (await this.#onQueue(scope, scripts.ENQUEUE, queue, args)) === 1;
  }

  async claim(...[scope, queue, options]: Parameters<Queue["claim"]>) {
    checkQueue(LIMITS, queue);
    checkLease(options.leaseMs);
    const { fencing, base } = this.#layout(scope);
    const args = [options.leaseMs, options.worker.toWellFormed()];
    const found = await this.#run(scope, scripts.CLAIM, [base(queue), fencing], args);
    return found === null ? undefined : claimedTask(queue, found as Reply);
  }

  async extend(scope: Scope, lease: TaskLease, leaseMs: number): Promise<void> {
    checkLease(leaseMs);
    await this.#onLease(scope, scripts.EXTEND, lease, [leaseMs]);
  }

  async complete(scope: Scope, lease: TaskLease): Promise<void> {
    await this.#onLease(scope, scripts.COMPLETE, lease, [DONE_MAX]);
  }

  async fail(scope: Scope, lease: TaskLease, reason: string): Promise<"retry" | "dead"> {
    const kept = reason.slice(0, REASON_LENGTH_MAX).toWellFormed();
    const answer = await this.#onLease(scope, scripts.FAIL, lease, [kept, BACKOFF_MS_MAX]);
    return answer === 2 ? "dead" : "retry";
  }

  async deadLetters(...[scope, queue, { limit, after }]: Parameters<Queue["deadLetters"]>) {
    checkQueue(LIMITS, queue);
    const last = after === undefined ? "" : encodeJobId(after);
    const args = [Math.max(0, Math.trunc(limit)), last];
    const found = await this.#onQueue(scope, scripts.DEAD_LETTERS, queue, args);
    return (found as readonly Reply[]).map(deadLetter);
  }

  async revive(scope: Scope, queue: string, id: string): Promise<boolean> {
    return (await this.#onQueue(scope, scripts.REVIVE, queue, [encodeJobId(id)])) === 1;
  }

  async remove(scope: Scope, queue: string, id: string): Promise<void> {
    await this.#onQueue(scope, scripts.REMOVE, queue, [encodeJobId(id)]);
  }

  async schedule(...[scope, queue, schedule]: Parameters<Queue["schedule"]>): Promise<void> {
    checkSchedule(LIMITS, queue, schedule);
    const layout = this.#layout(scope);
    // The instant is what the script adds to it.
    const job = encodeJobId(`${schedule.id}@`);
    const { everyMs: every, startAt: start } = schedule;
    const text = JSON.stringify({
      base: layout.base(queue),
      job,
      every,
      start,
      ...jobOf(job, schedule),
    });
    const keys = [layout.schedules, layout.scheduleTimes];
    await this.#run(scope, scripts.SCHEDULE, keys, [scheduleName(queue, schedule.id), text, start]);
  }

  async unschedule(scope: Scope, queue: string, id: string): Promise<void> {
    const { schedules, scheduleTimes } = this.#layout(scope);
    const args = [scheduleName(queue, id)];
    await this.#run(scope, scripts.UNSCHEDULE, [schedules, scheduleTimes], args);
  }

  async tick(scope: Scope): Promise<number> {
    const { schedules, scheduleTimes } = this.#layout(scope);
    return Number(await this.#run(scope, scripts.TICK, [schedules, scheduleTimes], []));
  }

  async depth(...[scope, queue]: Parameters<Queue["depth"]>) {
    checkQueue(LIMITS, queue);
    const counts = (await this.#onQueue(scope, scripts.DEPTH, queue, [])) as readonly number[];
    const [due = 0, later = 0, claimed = 0, dead = 0] = counts;
    return { due, later, claimed, dead };
  }

  async health(): Promise<EngineHealth> {
    const scope = { tenant: "health", actor: "health", deadline: Number.POSITIVE_INFINITY };
    const health = await this.#redis.health();
    checkPolicy(await this.#redis.info({ scope, doing: "tell its memory policy" }, "memory"));
    return health;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#redis[Symbol.asyncDispose]();
  }

  #layout({ tenant }: Scope): BullmqLayout {
    return bullmqLayout(this.#redis.settings, checkTenant(tenant));
  }

  async #onQueue(
    scope: Scope,
    script: RedisScript,
    queue: string,
    args: readonly (string | number)[],
  ): Promise<unknown> {
    return await this.#run(scope, script, [this.#layout(scope).base(queue)], args);
  }

  async #onLease(
    scope: Scope,
    script: RedisScript,
    { queue, id, fencingToken }: TaskLease,
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const of = [encodeJobId(id), fencingToken, ...args];
    const answer = await this.#onQueue(scope, script, queue, of);
    if (answer === 0) throw new StoreError("conflict", `the lease in ${queue} is lost`);
    return answer;
  }

  async #run(
    scope: Scope,
    script: RedisScript,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const now = this.#clock?.() ?? -1;
    return await this.#redis.call({ scope, doing: "move a task" }, (client) =>
      this.#redis.run(client, script, keys, [now, ...args]),
    );
  }
}

/** @throws StoreError `unsupported` for a server that may drop tasks to make room. */
export function checkPolicy(memory: ReadonlyMap<string, string>): void {
  const policy = memory.get("maxmemory_policy");
  if (policy === undefined || policy === "noeviction") return;
  throw new StoreError(
    "unsupported",
    `Redis would drop tasks when its memory is full: set maxmemory-policy noeviction, it is ${policy}`,
  );
}

type Reply = readonly (Buffer | number)[];

function claimedTask(queue: string, reply: Reply): ClaimedTask {
  const [job = "", data = "", encoding = "", attempt, token, ends] = reply;
  return {
    queue,
    id: decodeJobId(String(job)),
    payload: decodeData(Buffer.from(data as Buffer), String(encoding)),
    attempt: Number(attempt),
    fencingToken: Number(token),
    expiresAt: Number(ends),
  };
}

function deadLetter(reply: Reply): DeadLetter {
  const [job = "", data = "", encoding = "", attempts, reason = "", died] = reply;
  return {
    id: decodeJobId(String(job)),
    payload: decodeData(Buffer.from(data as Buffer), String(encoding)),
    attempts: Number(attempts),
    reason: String(reason),
    diedAt: Number(died),
  };
}

interface Job {
  readonly data: string;
  readonly encoding: string;
  /** What BullMQ's workers go by. */
  readonly opts: string;
  readonly priority: number;
  readonly max: number;
  readonly backoff: number;
}

function jobOf(jobId: string, task: Omit<NewTask, "dueAt">): Job {
  const priority = bullmqPriority(task.priority ?? TASK_DEFAULTS.priority);
  const max = task.attemptsMax ?? TASK_DEFAULTS.attemptsMax;
  const backoff = task.backoffMs ?? TASK_DEFAULTS.backoffMs;
  const [data, encoding] = encodeData(task.payload);
  const kept = { attempts: max, backoff: { type: "exponential", delay: backoff }, priority, jobId };
  return { data, encoding, opts: JSON.stringify(kept), priority, max, backoff };
}

function scheduleName(queue: string, id: string): string {
  return `${encodeName(queue)}:${encodeName(id)}`;
}
