import { fetchKafka } from "../drivers/kafka-fetch.ts";
import type { KafkaMessage, KafkaPage } from "../drivers/kafka-fetch.ts";
import type { KafkaTopic, KafkaWork } from "../drivers/kafka.ts";
import { StoreError } from "../errors.ts";
import type { IntakeMessage, IntakePage, IntakePosition, IntakeRequest } from "./intake.ts";

/** Reads messages of a topic that others write; partitions share the page evenly. */
export async function readIntake(
  work: KafkaWork,
  topic: KafkaTopic,
  { positions, messagesMax, bytesMax, waitMs }: IntakeRequest,
): Promise<IntakePage> {
  const from = new Map(positions.map(({ partition, offset }) => [partition, offset]));
  const unknown = positions.find(({ partition }) => topic.leaders[partition] === undefined);
  if (unknown !== undefined) {
    throw new StoreError("refused", `${topic.name} has no partition ${unknown.partition}`);
  }
  const pages = await fetchKafka(work, { topic, from, bytesMax, waitMs });
  const beyond = pages.find(({ next, end }) => next > end);
  if (beyond !== undefined) throw pastEnd(topic, beyond);
  const full = pages.filter(({ messages }) => messages.length > 0);
  const share = Math.max(1, Math.floor(messagesMax / Math.max(1, full.length)));
  const taken: KafkaMessage[] = [];
  const reached: IntakePosition[] = [];
  for (const { partition, messages, next } of pages) {
    const room = Math.min(share, messagesMax - taken.length);
    taken.push(...messages.slice(0, room));
    reached.push({ partition, offset: messages[room]?.offset ?? next });
  }
  return {
    messages: taken.map(asIntake),
    positions: reached,
    lost: pages.reduce((sum, { lost }) => sum + lost, 0),
  };
}

function pastEnd({ name }: KafkaTopic, { partition, next, end }: KafkaPage): StoreError {
  return new StoreError(
    "refused",
    `partition ${partition} of ${name} ends at ${end}, but was read up to ${next} before: the topic was made anew, or is another one`,
  );
}

function asIntake(message: KafkaMessage): IntakeMessage {
  const { partition, offset, key, value, headers, timestamp } = message;
  return {
    partition,
    offset,
    key: key ?? undefined,
    value: value ?? undefined,
    headers: headers.map(([name, bytes]) => [name?.toString() ?? "", bytes ?? new Uint8Array()]),
    timestamp,
  };
}
