import { StoreError } from "../errors.ts";
import type { NewTask, QueueLimits, TaskSchedule } from "./port.ts";

/** What a task has where it does not say otherwise. */
export const TASK_DEFAULTS = { priority: 0, attemptsMax: 5, backoffMs: 1_000 } as const;
/** Longest wait before the next attempt. */
export const BACKOFF_MS_MAX = 3_600_000;
/** How many ids of tasks that are done a queue remembers. */
export const DONE_MAX = 100_000;
/** How much is kept of what a worker says went wrong. */
export const REASON_LENGTH_MAX = 4_096;

/** @throws StoreError `limit`, `refused` for a queue's name. */
export function checkQueue(limits: QueueLimits, queue: string): void {
  checkName(limits, "queue", queue);
}

/** @throws StoreError `limit`, `refused` for what is no task. */
export function checkTask(limits: QueueLimits, queue: string, task: NewTask): void {
  const { id, payload, priority, dueAt, attemptsMax, backoffMs } = task;
  checkQueue(limits, queue);
  checkName(limits, "task", id);
  if (payload.byteLength > limits.payloadBytesMax) {
    throw new StoreError("limit", `a task's payload has at most ${limits.payloadBytesMax} bytes`);
  }
  if (priority !== undefined) checkPriority(limits, priority);
  if (dueAt !== undefined) checkWhole("dueAt", dueAt, 0);
  if (attemptsMax !== undefined) checkWhole("attemptsMax", attemptsMax, 1);
  if (backoffMs !== undefined) checkWhole("backoffMs", backoffMs, 0);
}

/** @throws StoreError `limit`, `refused` for what is no schedule. */
export function checkSchedule(limits: QueueLimits, queue: string, schedule: TaskSchedule): void {
  const { id, everyMs, startAt } = schedule;
  checkTask(limits, queue, schedule);
  // Room for the instant that makes a task's id out of it.
  checkTask(limits, queue, { ...schedule, id: `${id}@${"0".repeat(16)}` });
  checkWhole("everyMs", everyMs, 1);
  checkWhole("startAt", startAt, 0);
}

/** @throws StoreError `refused` for what is no duration of a lease. */
export function checkLease(leaseMs: number): void {
  checkWhole("leaseMs", leaseMs, 1);
}

function checkPriority({ priorityMax }: QueueLimits, priority: number): void {
  if (Math.abs(priority) > priorityMax) {
    throw new StoreError("limit", `a priority is from ${-priorityMax} to ${priorityMax}`);
  }
  checkWhole("priority", priority, -priorityMax);
}

function checkName({ nameLengthMax }: QueueLimits, what: string, name: string): void {
  if (name.length > nameLengthMax) {
    throw new StoreError("limit", `a ${what} has a name of at most ${nameLengthMax} characters`);
  }
  if (name.length > 0 && name.isWellFormed() && !name.includes("\0")) return;
  throw new StoreError("refused", `a ${what} needs a name without NUL or lone surrogates`);
}

function checkWhole(what: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new StoreError("refused", `${what} is a whole number of ${least} or more`);
}
