import { hash } from "node:crypto";

import { parseJson } from "@custody/contract/json";
import type { IntakeMessage } from "@custody/stores/stream/intake";

import type { CommitRecord } from "../journal/commit-request.ts";

/** What is kept of an input that could not become a record: the fields of `custody/rejected_inputs`. */
export interface RejectedInput {
  readonly at: string;
  readonly reason: string;
  readonly message: IntakeMessage;
}

const REJECTED_TEXT_MAX = 64 * 1024;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Names a message for people and for rejections: `findings/0/1234`. */
export function messagePlace(topic: string, { partition, offset }: IntakeMessage): string {
  return `${topic}/${partition}/${offset}`;
}

/** The records of a message: its value is one as JSON, or an array of them. @throws Error saying why not. */
export function messageRecords(topic: string, message: IntakeMessage): readonly CommitRecord[] {
  if (message.value === undefined) throw new Error("the message has no value");
  const found = parseJson(decode(message.value));
  const place = messagePlace(topic, message);
  if (!Array.isArray(found)) return [{ fields: found, place }];
  return found.map((fields: unknown, index) => ({ fields, place: `${place}#${index}` }));
}

/** The rejected input as a record; `at` names it among all, as offsets are never given twice. */
export function rejectedRecord(
  topic: string,
  { at, reason, message }: RejectedInput,
  now: number,
): CommitRecord {
  const value = message.value ?? new Uint8Array();
  const fields = {
    sha256: hash("sha256", value),
    name: topic,
    at,
    reason,
    text: Buffer.from(value).toString("utf8").slice(0, REJECTED_TEXT_MAX).toWellFormed(),
    rejected_at: new Date(now).toISOString(),
  };
  return { fields, place: at };
}

function decode(value: Uint8Array): string {
  try {
    return UTF8.decode(value);
  } catch (cause) {
    throw new Error("the message is no UTF-8 text", { cause });
  }
}
