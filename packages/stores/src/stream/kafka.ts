import type { MessageToProduce } from "@platformatic/kafka";

import { kafkaRanges } from "../drivers/kafka-fetch.ts";
import { KafkaCluster } from "../drivers/kafka.ts";
import type { KafkaBatch, KafkaTopic, KafkaWork } from "../drivers/kafka.ts";
import { TurnQueue } from "../drivers/turn-queue.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import type { IntakePage, IntakePartition, IntakeRequest } from "./intake.ts";
import { readIntake } from "./kafka-intake.ts";
import { checkIntakeTopic, groupPrefix, physicalTopic } from "./kafka-names.ts";
import { formatKafkaOffset, overPartitions, parseKafkaOffset } from "./kafka-offset.ts";
import type { KafkaOffset } from "./kafka-offset.ts";
import { EVENT_ID, KafkaReader } from "./kafka-read.ts";
import { checkGroup, checkPage, STREAM_LIMITS } from "./limits.ts";
import type { EventStream, NewEvent } from "./port.ts";

export interface KafkaStreamOptions {
  readonly url: string;
}

/** Kafka takes batches of 1 MiB unless told otherwise (`max.message.bytes`); the rest is for their frame. */
const BATCH_BYTES = 900 * 1024;
const MESSAGE_OVERHEAD = 64;
const BEGINNING: KafkaOffset = [];

/**
 * Event stream on Kafka (3.1 or later).
 *
 * `kafka://user:password@a:9092,b:9092/custody?sasl=scram-sha-512&partitions=6&replication=3`, by TLS
 * `kafkas://…?ca=FILE`. The path is the prefix of topics and groups, default `custody`. `sasl` is
 * `plain`, `scram-sha-256`, `scram-sha-512` (the default where there is a user) or `oauthbearer` with
 * `token-file`. `partitions` (default 1) and `replication` (default: the cluster's) are those of topics
 * that are made here. There is one connection to each broker, so `pool` has no effect.
 *
 * An event is a message of `<prefix>.<tenant>.<topic>`: its key the record's id, its body the value, its
 * id the header `event-id`. An offset says how far each partition was read: `7`, or `3.0.12` for three.
 * A group's offsets are those of Kafka's group `<prefix>.<tenant>.<group>`.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the library is not installed.
 */
export async function openKafkaStream({
  url,
}: KafkaStreamOptions): Promise<EventStream & ServerEngine> {
  return new KafkaStream(await KafkaCluster.open(url));
}

class KafkaStream implements EventStream, ServerEngine {
  readonly role = "stream";
  readonly engine = "kafka";
  readonly capabilities = { isJournalCursor: false, hasIntake: true } as const;
  readonly limits = STREAM_LIMITS;
  readonly #kafka: KafkaCluster;
  readonly #reader = new KafkaReader();
  /** Who sends to a topic, or moves a group, does so one after another. */
  readonly #turns = new Map<string, { readonly queue: TurnQueue; users: number }>();

  constructor(kafka: KafkaCluster) {
    this.#kafka = kafka;
  }

  async publish(scope: Scope, events: readonly NewEvent[]): Promise<void> {
    const byTopic = [...Map.groupBy(events, ({ topic }) => topic)].map(
      ([topic, told]) => [this.#topicName(scope, topic), told] as const,
    );
    const doing = "publish events";
    await Promise.all(
      byTopic.map(([name, told]) =>
        this.#inTurn(scope, name, (timed) =>
          this.#kafka.send({ scope: timed, doing }, name, batchesOf(name, told)),
        ),
      ),
    );
  }

  async read(...[scope, topic, { after, limit }]: Parameters<EventStream["read"]>) {
    checkPage(limit);
    const from = parseKafkaOffset(after);
    const name = this.#topicName(scope, topic);
    return await this.#kafka.call({ scope, doing: "read a topic" }, async (work) => {
      const found = await this.#kafka.topic(work, name);
      return found === undefined
        ? []
        : await this.#reader.read(work, found, { topic, from, limit });
    });
  }

  async poll(...[scope, topic, group, limit]: Parameters<EventStream["poll"]>) {
    checkPage(limit);
    const id = this.#groupName(scope, group);
    const name = this.#topicName(scope, topic);
    return await this.#kafka.call({ scope, doing: "poll a topic" }, async (work) => {
      const found = await this.#kafka.topic(work, name);
      if (found === undefined) return [];
      const from = (await committed(work, found, [id])).get(id) ?? BEGINNING;
      return await this.#reader.read(work, found, { topic, from, limit });
    });
  }

  async acknowledge(...[scope, topic, group, offset]: Parameters<EventStream["acknowledge"]>) {
    await this.#move(scope, [topic, group, offset], (now, wanted) =>
      now.map((before, partition) => Math.max(before, wanted[partition] ?? 0)),
    );
  }

  async seek(...[scope, topic, group, offset]: Parameters<EventStream["seek"]>): Promise<void> {
    await this.#move(scope, [topic, group, offset], (_, wanted) => wanted);
  }

  async groups(scope: Scope, topic: string) {
    const prefix = groupPrefix(this.#kafka.settings.prefix, scope);
    const name = this.#topicName(scope, topic);
    return await this.#kafka.call({ scope, doing: "list groups" }, async (work) => {
      const found = await this.#kafka.topic(work, name);
      if (found === undefined) return [];
      const listed = await work.admin.listGroups();
      const ids = [...listed.keys()].filter((id) => id.startsWith(prefix)).sort();
      const offsets = await committed(work, found, ids);
      return ids.flatMap((id) => {
        const offset = offsets.get(id);
        if (offset === undefined) return [];
        return [{ group: id.slice(prefix.length), offset: formatKafkaOffset(offset) }];
      });
    });
  }

  async partitions(scope: Scope, topic: string): Promise<readonly IntakePartition[]> {
    const doing = "look at a topic";
    return await this.#kafka.call({ scope, doing }, async (work) =>
      kafkaRanges(work, await this.#intakeTopic(scope, work, topic)),
    );
  }

  async fetch(scope: Scope, topic: string, request: IntakeRequest): Promise<IntakePage> {
    checkPage(request.messagesMax);
    // A server that waits must answer before its time is over.
    const waitMs = Math.min(request.waitMs, Math.floor(this.#kafka.settings.timeoutMs / 3));
    return await this.#kafka.call({ scope, doing: "read evidence" }, async (work) =>
      readIntake(work, await this.#intakeTopic(scope, work, topic), { ...request, waitMs }),
    );
  }

  health(): Promise<EngineHealth> {
    return this.#kafka.health();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kafka[Symbol.asyncDispose]();
  }

  async #intakeTopic(scope: Scope, work: KafkaWork, topic: string): Promise<KafkaTopic> {
    const found = await this.#kafka.topic(
      work,
      checkIntakeTopic(this.#kafka.settings.prefix, scope, topic),
    );
    if (found !== undefined) return found;
    throw new StoreError("refused", `Kafka has no topic ${topic}`);
  }

  async #move(
    scope: Scope,
    [topic, group, offset]: readonly [string, string, string],
    place: (now: KafkaOffset, wanted: KafkaOffset) => KafkaOffset,
  ): Promise<void> {
    const id = this.#groupName(scope, group);
    const name = this.#topicName(scope, topic);
    const given = parseKafkaOffset(offset);
    const doing = "remember a group's offset";
    await this.#inTurn(scope, `${name} ${id}`, (timed) =>
      this.#kafka.call({ scope: timed, doing }, async (work) => {
        const found = await this.#kafka.madeTopic(work, name);
        const count = found.leaders.length;
        const known = (await committed(work, found, [id])).get(id);
        const before = overPartitions(known ?? BEGINNING, count);
        const after = place(before, overPartitions(given, count));
        if (known !== undefined && after.every((each, index) => each === before[index])) return;
        const partitionOffsets = after.map((each, partition) => ({
          partition,
          offset: BigInt(each),
        }));
        await work.admin.alterConsumerGroupOffsets({
          groupId: id,
          topics: [{ name, partitionOffsets }],
        });
      }),
    );
  }

  #topicName(scope: Scope, topic: string): string {
    return physicalTopic(this.#kafka.settings.prefix, scope, topic);
  }

  #groupName(scope: Scope, group: string): string {
    checkGroup(group);
    return `${groupPrefix(this.#kafka.settings.prefix, scope)}${group}`;
  }

  /** Does work when its turn has come; waiting and work together have the time of one call. */
  async #inTurn(scope: Scope, name: string, work: (scope: Scope) => Promise<void>): Promise<void> {
    const deadline = Math.min(scope.deadline, Date.now() + this.#kafka.settings.timeoutMs);
    const turns = this.#turns.get(name) ?? { queue: new TurnQueue(() => Date.now()), users: 0 };
    this.#turns.set(name, turns);
    turns.users += 1;
    try {
      const end = await turns.queue.take(deadline);
      await work({ ...scope, deadline }).finally(end);
    } finally {
      turns.users -= 1;
      if (turns.users === 0) this.#turns.delete(name);
    }
  }
}

/** Messages in order, cut into batches that Kafka takes. */
function batchesOf(topic: string, events: readonly NewEvent[]): readonly KafkaBatch[] {
  const batches: MessageToProduce[][] = [];
  const idHeader = Buffer.from(EVENT_ID);
  let room = 0;
  for (const { key, eventId, body } of events) {
    const message = {
      topic,
      key: Buffer.from(key),
      value: Buffer.from(body),
      headers: new Map([[idHeader, Buffer.from(eventId)]]),
    };
    const bytes = message.key.length + message.value.length + MESSAGE_OVERHEAD;
    if (bytes > room) {
      batches.push([]);
      room = BATCH_BYTES;
    }
    batches.at(-1)?.push(message);
    room -= bytes;
  }
  return batches;
}

/** How far groups have come in a topic; without those that never said so. */
async function committed(
  { admin }: KafkaWork,
  { name, leaders }: KafkaTopic,
  ids: readonly string[],
): Promise<ReadonlyMap<string, KafkaOffset>> {
  if (ids.length === 0) return new Map();
  const topics = [{ name, partitionIndexes: [...leaders.keys()] }];
  const answers = await admin.listConsumerGroupOffsets({
    groups: ids.map((groupId) => ({ groupId, topics })),
  });
  const offsets = new Map<string, KafkaOffset>();
  for (const {
    groupId,
    topics: [topic],
  } of answers) {
    const known = topic?.partitions.filter(({ committedOffset }) => committedOffset >= 0n) ?? [];
    if (known.length === 0) continue;
    const offset = overPartitions(BEGINNING, leaders.length);
    for (const { partitionIndex, committedOffset } of known) {
      offset[partitionIndex] = Number(committedOffset);
    }
    offsets.set(groupId, offset);
  }
  return offsets;
}
