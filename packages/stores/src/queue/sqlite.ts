import type { DatabaseSync } from "node:sqlite";

import { openSqliteFile, sqliteTransaction } from "../drivers/sqlite.ts";
import { cacheStatements } from "../drivers/statement-cache.ts";
import type { StatementCache } from "../drivers/statement-cache.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { BACKOFF_MS_MAX, checkLease, checkQueue, checkSchedule, checkTask } from "./limits.ts";
import { DONE_MAX, REASON_LENGTH_MAX, TASK_DEFAULTS } from "./limits.ts";
import type { ClaimedTask, NewTask, Queue, QueueDepth, QueueLimits, TaskLease } from "./port.ts";
import { QUEUE_TABLES } from "./sqlite-tables.ts";

export interface SqliteQueueOptions {
  /** The data directory; a tenant's file is `tenants/<tenant>/queue.sqlite` below it. */
  readonly directory: string;
  /** Milliseconds since the Unix epoch. */
  readonly clock: () => number;
  /** How long to wait for another process's lock; default 5 s. */
  readonly busyMs?: number;
}

interface QueueFile {
  readonly database: DatabaseSync;
  readonly statement: StatementCache;
}

const LIMITS: QueueLimits = {
  payloadBytesMax: 1024 * 1024,
  nameLengthMax: 512,
  priorityMax: Number.MAX_SAFE_INTEGER,
};
const DONE_SWEEP = 1_024;

/** Embedded queue: one SQLite file per tenant, which several processes may use at once. */
export async function openSqliteQueue(options: SqliteQueueOptions): Promise<Queue> {
  const { directory, clock, busyMs = 5_000 } = options;
  const files = new TenantFiles<QueueFile>({
    directory,
    file: "queue.sqlite",
    open: async (path) => await Promise.resolve(openQueueFile(path, busyMs)),
    close: async ({ database }) => {
      database.close();
      await Promise.resolve();
    },
  });
  return await Promise.resolve(new SqliteQueue(files, clock));
}

function openQueueFile(path: string, busyMs: number): QueueFile {
  // A task may be acknowledged to its maker, so it is kept as the journal is.
  const database = openSqliteFile({ path, durability: "journal", cacheKib: 2_048, busyMs });
  sqliteTransaction(database, `make tables of ${path}`, () => database.exec(QUEUE_TABLES));
  return { database, statement: cacheStatements(database) };
}

class SqliteQueue implements Queue {
  readonly role = "queue";
  readonly engine = "sqlite";
  readonly limits = LIMITS;
  readonly #files: TenantFiles<QueueFile>;
  readonly #clock: () => number;

  constructor(files: TenantFiles<QueueFile>, clock: () => number) {
    this.#files = files;
    this.#clock = clock;
  }

  async enqueue(scope: Scope, queue: string, task: NewTask): Promise<boolean> {
    checkTask(LIMITS, queue, task);
    return await this.#write(scope, `enqueue to ${queue}`, (file, now) =>
      insertTask(file, queue, task, now),
    );
  }

  async claim(...[scope, queue, options]: Parameters<Queue["claim"]>) {
    checkQueue(LIMITS, queue);
    checkLease(options.leaseMs);
    return await this.#write(scope, `claim from ${queue}`, (file, now) => {
      promote(file, queue, now);
      return claimFirst(file, queue, options.worker, now + options.leaseMs);
    });
  }

  async extend(scope: Scope, lease: TaskLease, leaseMs: number): Promise<void> {
    checkLease(leaseMs);
    await this.#write(scope, `extend a lease in ${lease.queue}`, (file, now) => {
      holdLease(file, lease, now);
      file
        .statement("UPDATE task SET due_at = ? WHERE queue = ? AND id = ?")
        .run(whole(now + leaseMs), lease.queue, lease.id);
    });
  }

  async complete(scope: Scope, lease: TaskLease): Promise<void> {
    await this.#write(scope, `complete a task of ${lease.queue}`, (file, now) => {
      holdLease(file, lease, now);
      file
        .statement(
          `UPDATE task SET state = 'done', payload = x'', due_at = ? WHERE queue = ? AND id = ?`,
        )
        .run(whole(now), lease.queue, lease.id);
      forgetDone(file, lease);
    });
  }

  async fail(scope: Scope, lease: TaskLease, reason: string): Promise<"retry" | "dead"> {
    return await this.#write(scope, `fail a task of ${lease.queue}`, (file, now) => {
      const { attempts, attemptsMax, backoffMs } = holdLease(file, lease, now);
      if (attempts >= attemptsMax) {
        file
          .statement(
            "UPDATE task SET state = 'dead', died_at = ?, reason = ? WHERE queue = ? AND id = ?",
          )
          .run(
            whole(now),
            reason.slice(0, REASON_LENGTH_MAX).toWellFormed(),
            lease.queue,
            lease.id,
          );
        return "dead";
      }
      const waitMs = Math.min(BACKOFF_MS_MAX, backoffMs * 2 ** (attempts - 1));
      file
        .statement("UPDATE task SET state = 'later', due_at = ? WHERE queue = ? AND id = ?")
        .run(whole(now + waitMs), lease.queue, lease.id);
      return "retry";
    });
  }

  async deadLetters(...[scope, queue, { limit, after }]: Parameters<Queue["deadLetters"]>) {
    checkQueue(LIMITS, queue);
    return await this.#write(scope, `list dead letters of ${queue}`, (file, now) => {
      promote(file, queue, now);
      const rows = file
        .statement(
          `SELECT id, payload, attempts, reason, died_at FROM task
            WHERE queue = ?1 AND state = 'dead' AND (died_at, id) >
              (coalesce((SELECT died_at FROM task WHERE queue = ?1 AND id = ?2), -1), ?2)
            ORDER BY died_at, id LIMIT ?3`,
        )
        .all(queue, after ?? "", whole(limit));
      return rows.map((row) => ({
        id: String(row["id"]),
        payload: bytes(row["payload"]),
        attempts: Number(row["attempts"]),
        reason: String(row["reason"]),
        diedAt: Number(row["died_at"]),
      }));
    });
  }

  async revive(scope: Scope, queue: string, id: string): Promise<boolean> {
    return await this.#write(scope, `revive a task of ${queue}`, (file, now) => {
      promote(file, queue, now);
      const { changes } = file
        .statement(
          `UPDATE task SET state = 'later', attempts = 0, due_at = ?, reason = ''
            WHERE queue = ? AND id = ? AND state = 'dead'`,
        )
        .run(whole(now), queue, id);
      return Number(changes) === 1;
    });
  }

  async remove(scope: Scope, queue: string, id: string): Promise<void> {
    await this.#write(scope, `remove a task of ${queue}`, (file) => {
      file.statement("DELETE FROM task WHERE queue = ? AND id = ?").run(queue, id);
    });
  }

  async schedule(...[scope, queue, schedule]: Parameters<Queue["schedule"]>): Promise<void> {
    const { id, everyMs, startAt, payload, priority = TASK_DEFAULTS.priority } = schedule;
    checkSchedule(LIMITS, queue, schedule);
    await this.#write(scope, `schedule in ${queue}`, (file) => {
      file
        .statement(
          `INSERT INTO schedule (queue, id, every_ms, start_at, next_at, payload, priority)
          VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)
          ON CONFLICT DO UPDATE SET every_ms = ?3, start_at = ?4, next_at = ?4, payload = ?5, priority = ?6`,
        )
        .run(queue, id, whole(everyMs), whole(startAt), payload, whole(priority));
    });
  }

  async unschedule(scope: Scope, queue: string, id: string): Promise<void> {
    await this.#write(scope, `unschedule in ${queue}`, (file) => {
      file.statement("DELETE FROM schedule WHERE queue = ? AND id = ?").run(queue, id);
    });
  }

  async tick(scope: Scope): Promise<number> {
    return await this.#write(scope, "tick", (file, now) => enqueueScheduled(file, now));
  }

  async depth(scope: Scope, queue: string): Promise<QueueDepth> {
    checkQueue(LIMITS, queue);
    return await this.#write(scope, `measure ${queue}`, (file, now) => {
      promote(file, queue, now);
      const depth = { due: 0, later: 0, claimed: 0, dead: 0 };
      const rows = file
        .statement(
          `SELECT state, count(*) AS tasks FROM task
            WHERE queue = ? AND state IN ('due', 'later', 'claimed', 'dead') GROUP BY state`,
        )
        .all(queue);
      for (const { state, tasks } of rows) {
        if (state === "due" || state === "later" || state === "claimed" || state === "dead") {
          depth[state] = Number(tasks);
        }
      }
      return depth;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files.closeAll();
  }

  async #write<Result>(
    scope: Scope,
    doing: string,
    work: (file: QueueFile, now: number) => Result,
  ): Promise<Result> {
    return await this.#files.use(scope, (file) =>
      sqliteTransaction(file.database, doing, () => work(file, this.#clock())),
    );
  }
}

function insertTask({ statement }: QueueFile, queue: string, task: NewTask, now: number): boolean {
  const { id, payload, dueAt = now } = task;
  const { priority, attemptsMax, backoffMs } = { ...TASK_DEFAULTS, ...withoutAbsent(task) };
  const { changes } = statement(
    `INSERT INTO task (queue, id, payload, priority, state, due_at, attempts_max, backoff_ms)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (queue, id) DO NOTHING`,
  ).run(
    queue,
    id,
    payload,
    whole(priority),
    dueAt <= now ? "due" : "later",
    whole(dueAt),
    whole(attemptsMax),
    whole(backoffMs),
  );
  return Number(changes) === 1;
}

function withoutAbsent(task: NewTask): Partial<NewTask> {
  return Object.fromEntries(Object.entries(task).filter(([, value]) => value !== undefined));
}

/** Makes due what has become so: what waited, and what a worker has held for too long. */
function promote({ statement }: QueueFile, queue: string, now: number): void {
  statement(
    `UPDATE task SET state = 'dead', died_at = due_at, reason = 'the lease of the last attempt ran out'
      WHERE queue = ? AND state = 'claimed' AND due_at <= ? AND attempts >= attempts_max`,
  ).run(queue, whole(now));
  statement(
    `UPDATE task SET state = 'due' WHERE queue = ? AND state IN ('later', 'claimed') AND due_at <= ?`,
  ).run(queue, whole(now));
}

function claimFirst(
  { statement }: QueueFile,
  queue: string,
  worker: string,
  expiresAt: number,
): ClaimedTask | undefined {
  const token = statement("SELECT token FROM fencing").get()?.["token"];
  const fencingToken = Number(token ?? 0) + 1;
  const row = statement(
    `UPDATE task SET state = 'claimed', attempts = attempts + 1, due_at = ?, token = ?, worker = ?
      WHERE number = (SELECT number FROM task WHERE queue = ? AND state = 'due'
        ORDER BY priority DESC, number LIMIT 1)
      RETURNING id, payload, attempts`,
  ).get(whole(expiresAt), whole(fencingToken), worker.toWellFormed(), queue);
  if (row === undefined) return undefined;
  statement("UPDATE fencing SET token = ?").run(whole(fencingToken));
  const attempt = Number(row["attempts"]);
  const payload = bytes(row["payload"]);
  return { queue, id: String(row["id"]), fencingToken, payload, attempt, expiresAt };
}

interface HeldTask {
  readonly attempts: number;
  readonly attemptsMax: number;
  readonly backoffMs: number;
}

function holdLease({ statement }: QueueFile, lease: TaskLease, now: number): HeldTask {
  const row = statement(
    `SELECT attempts, attempts_max, backoff_ms FROM task
      WHERE queue = ? AND id = ? AND state = 'claimed' AND token = ? AND due_at > ?`,
  ).get(lease.queue, lease.id, whole(lease.fencingToken), whole(now));
  if (row === undefined) throw new StoreError("conflict", `the lease in ${lease.queue} is lost`);
  return {
    attempts: Number(row["attempts"]),
    attemptsMax: Number(row["attempts_max"]),
    backoffMs: Number(row["backoff_ms"]),
  };
}

/** Now and then forgets the ids of tasks done longest ago; counting them each time would cost too much. */
function forgetDone({ statement }: QueueFile, { queue, fencingToken }: TaskLease): void {
  if (fencingToken % DONE_SWEEP !== 0) return;
  statement(
    `DELETE FROM task WHERE number IN (SELECT number FROM task
      WHERE queue = ? AND state = 'done' ORDER BY due_at DESC LIMIT -1 OFFSET ?)`,
  ).run(queue, whole(DONE_MAX));
}

function enqueueScheduled(file: QueueFile, now: number): number {
  const due = file.statement("SELECT * FROM schedule WHERE next_at <= ?").all(whole(now));
  let enqueued = 0;
  for (const row of due) {
    const [everyMs, startAt] = [Number(row["every_ms"]), Number(row["start_at"])];
    const instant = startAt + Math.floor((now - startAt) / everyMs) * everyMs;
    const queue = String(row["queue"]);
    const payload = bytes(row["payload"]);
    const id = `${String(row["id"])}@${instant}`;
    const priority = Number(row["priority"]);
    if (insertTask(file, queue, { id, payload, priority }, now)) enqueued += 1;
    file
      .statement("UPDATE schedule SET next_at = ? WHERE queue = ? AND id = ?")
      .run(whole(instant + everyMs), queue, String(row["id"]));
  }
  return enqueued;
}

// The driver binds numbers as doubles, and an instant compared as a double misses its index.
function whole(value: number): bigint {
  return BigInt(Math.trunc(value));
}

function bytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}
