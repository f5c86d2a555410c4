import type { RedisSettings } from "./redis-settings.ts";

/**
 * Where BullMQ's structures of a tenant's queues lie: `<prefix>:<tenant>:scan:queue:<queue>:<part>`.
 *
 * To BullMQ's own tools, `<prefix>:<tenant>:scan:queue` is the prefix and the encoded name the queue.
 */
export interface BullmqLayout {
  /** What BullMQ calls the prefix. */
  readonly prefix: string;
  /** Keys of a queue begin with it. */
  readonly base: (queue: string) => string;
  /** The keys that all queues of the tenant share. */
  readonly fencing: string;
  readonly schedules: string;
  readonly scheduleTimes: string;
}

// The longest that BullMQ orders by: a score holds 21 bits of it, and 32 of the order of arrival.
const PRIORITY_MIDDLE = 2 ** 20;
/** Priorities from the negative of it to it can be told apart. */
export const BULLMQ_PRIORITY_MAX: number = PRIORITY_MIDDLE - 1;
const JOB = "task-";

/** The layout of a tenant; in a cluster braces keep all of it on one node, as scripts need. */
export function bullmqLayout({ prefix, isCluster }: RedisSettings, tenant: string): BullmqLayout {
  const root = isCluster ? `{${prefix}:${tenant}}` : `${prefix}:${tenant}`;
  const queues = `${root}:scan:queue`;
  return {
    prefix: queues,
    base: (queue) => `${queues}:${encodeName(queue)}:`,
    fencing: `${root}:scan:fencing`,
    schedules: `${root}:scan:schedules`,
    scheduleTimes: `${root}:scan:schedule-times`,
  };
}

/** A queue's name as BullMQ takes it: any text but colons; `high_priority` stays as it is. */
export function encodeName(name: string): string {
  return encodeURIComponent(name);
}

/** A task's id as BullMQ takes it: no colon, no number, and none of the names of its own keys. */
export function encodeJobId(id: string): string {
  return `${JOB}${encodeURIComponent(id)}`;
}

export function decodeJobId(jobId: string): string {
  return decodeURIComponent(jobId.slice(JOB.length));
}

/** BullMQ's priority, where 1 goes first. */
export function bullmqPriority(priority: number): number {
  return PRIORITY_MIDDLE - priority;
}

/** A payload as BullMQ keeps data: JSON. What is no JSON is kept as base64 within some. */
export function encodeData(payload: Uint8Array): readonly [data: string, encoding: string] {
  const text = jsonText(payload);
  if (text !== undefined) return [text, "json"];
  return [JSON.stringify({ base64: Buffer.from(payload).toString("base64") }), "base64"];
}

export function decodeData(data: Uint8Array, encoding: string): Uint8Array {
  if (encoding === "json") return new Uint8Array(data);
  const { base64 } = JSON.parse(Buffer.from(data).toString()) as { readonly base64: string };
  return new Uint8Array(Buffer.from(base64, "base64"));
}

function jsonText(payload: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
    JSON.parse(text);
    return text;
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof TypeError) return undefined;
    throw cause;
  }
}
