import type * as Kafka from "@platformatic/kafka";

import { kafkaErrorId } from "./kafka-errors.ts";
import type { KafkaTopic, KafkaWork } from "./kafka.ts";

/** A message as it lies in a partition. */
export interface KafkaMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: Buffer | null, value: Buffer | null])[];
  /** Epoch milliseconds, as the producer or the broker has set them. */
  readonly timestamp: number;
}

/** What was read of one partition. */
export interface KafkaPage {
  readonly partition: number;
  readonly messages: readonly KafkaMessage[];
  /** Offset to go on from: beyond messages, markers and transactions that were given up. */
  readonly next: number;
  /** Offset that the next committed message will have: with `next` there, everything was read. */
  readonly end: number;
  /** Messages that Kafka had deleted before they were read. */
  readonly lost: number;
}

/** A range of a partition: the oldest offset still kept, and the one after the newest committed. */
export interface KafkaRange {
  readonly partition: number;
  readonly start: number;
  readonly end: number;
}

const READ_COMMITTED = 1;
const CONTROL_BATCH = 0x20;
const TRANSACTIONAL_BATCH = 0x10;
const EARLIEST = -2n;
const LATEST = -1n;

/** What is asked of some partitions of a topic. */
export interface KafkaQuestion {
  readonly topic: KafkaTopic;
  /** Offset to read from, by partition. */
  readonly from: ReadonlyMap<number, number>;
  readonly bytesMax: number;
  /** How long the broker may wait for a first message. */
  readonly waitMs: number;
}

/** Reads what is committed from the given offsets on; a partition of which nothing came is answered as empty. */
export async function fetchKafka(
  work: KafkaWork,
  question: KafkaQuestion,
): Promise<readonly KafkaPage[]> {
  try {
    return await fetchRanges(work, question);
  } catch (cause) {
    if (kafkaErrorId(cause) !== "OFFSET_OUT_OF_RANGE") throw cause;
    return await fetchWithin(work, question);
  }
}

/** What each partition holds. */
export async function kafkaRanges(
  work: KafkaWork,
  topic: KafkaTopic,
): Promise<readonly KafkaRange[]> {
  const at = async (timestamp: bigint): Promise<ReadonlyMap<number, number>> => {
    const partitions = topic.leaders.map((_, partitionIndex) => ({ partitionIndex, timestamp }));
    const [answer] = await work.admin.listOffsets({
      topics: [{ name: topic.name, partitions }],
      isolationLevel: READ_COMMITTED,
    });
    return new Map(
      answer?.partitions.map(({ partitionIndex, offset }) => [partitionIndex, Number(offset)]),
    );
  };
  const [starts, ends] = await Promise.all([at(EARLIEST), at(LATEST)]);
  return topic.leaders.map((_, partition) => {
    const start = starts.get(partition) ?? 0;
    return { partition, start, end: ends.get(partition) ?? start };
  });
}

/** Reads again where an offset is out of range: from the oldest message that is left, or nothing. */
async function fetchWithin(
  work: KafkaWork,
  question: KafkaQuestion,
): Promise<readonly KafkaPage[]> {
  const ranges = await kafkaRanges(work, question.topic);
  const from = new Map<number, number>();
  const beyond: KafkaPage[] = [];
  for (const { partition, start, end } of ranges) {
    const wanted = question.from.get(partition);
    if (wanted === undefined) continue;
    if (wanted > end) beyond.push({ partition, messages: [], next: wanted, end, lost: 0 });
    else from.set(partition, Math.max(wanted, start));
  }
  if (from.size === 0) return beyond;
  const pages = await fetchRanges(work, { ...question, from });
  const lost = ({ partition }: KafkaPage): number =>
    (from.get(partition) ?? 0) - (question.from.get(partition) ?? 0);
  return [...pages.map((page) => ({ ...page, lost: lost(page) })), ...beyond];
}

async function fetchRanges(
  work: KafkaWork,
  question: KafkaQuestion,
): Promise<readonly KafkaPage[]> {
  const { topic, from, bytesMax, waitMs } = question;
  const api = fetchApi(work);
  const answers = [...byLeader(topic, from)].map(async ([leader, partitions]) => {
    const connection = await work.admin.connections.get(leader);
    const each = Math.ceil(bytesMax / Math.max(1, partitions.length));
    const asked = partitions.map(([partition, offset]) => ({
      partition,
      currentLeaderEpoch: -1,
      fetchOffset: BigInt(offset),
      lastFetchedEpoch: -1,
      partitionMaxBytes: each,
    }));
    const topics = [{ topicId: topic.id, partitions: asked }];
    // Session 0 with epoch -1: a question of its own, of which the broker remembers nothing (KIP-227).
    const answer = await api.async(
      connection,
      waitMs,
      1,
      bytesMax,
      READ_COMMITTED,
      0,
      -1,
      topics,
      [],
      "",
    );
    return answer.responses.flatMap((response) => response.partitions);
  });
  const found = (await Promise.all(answers)).flat();
  return found.map((part) => readPage(part, from.get(part.partitionIndex) ?? 0));
}

function byLeader(
  { leaders }: KafkaTopic,
  from: ReadonlyMap<number, number>,
): ReadonlyMap<Kafka.Broker, readonly (readonly [number, number])[]> {
  const groups = new Map<Kafka.Broker, (readonly [number, number])[]>();
  for (const [partition, offset] of from) {
    const leader = leaders[partition];
    if (leader === undefined) continue;
    const group = groups.get(leader);
    if (group === undefined) groups.set(leader, [[partition, offset]]);
    else group.push([partition, offset]);
  }
  return groups;
}

/** The newest form of the question that cluster and client both know; they differ in nothing we use. */
function fetchApi({ library, apiVersion }: KafkaWork): typeof Kafka.fetchV17.api {
  const version = apiVersion("Fetch");
  if (version >= 17) return library.fetchV17.api;
  if (version >= 15) return library.fetchV15.api;
  return library.fetchV13.api;
}

function readPage(part: Kafka.fetchV17.FetchResponsePartition, from: number): KafkaPage {
  const { partitionIndex: partition, lastStableOffset } = part;
  const aborted = (part.abortedTransactions ?? []).toSorted((left, right) =>
    Number(left.firstOffset - right.firstOffset),
  );
  const given: Set<bigint> = new Set();
  const messages: KafkaMessage[] = [];
  let next = from;
  for (const batch of part.records ?? []) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta);
    while (aborted[0] !== undefined && aborted[0].firstOffset <= last) {
      const begun = aborted.shift();
      if (begun !== undefined) given.add(begun.producerId);
    }
    next = Math.max(next, Number(last) + 1);
    if ((batch.attributes & CONTROL_BATCH) !== 0) {
      // The end of a transaction; whether it was given up is known already.
      given.delete(batch.producerId);
      continue;
    }
    const isTransactional = (batch.attributes & TRANSACTIONAL_BATCH) !== 0;
    if (isTransactional && given.has(batch.producerId)) continue;
    for (const record of batch.records) {
      const offset = Number(batch.firstOffset) + record.offsetDelta;
      if (offset < from) continue;
      messages.push({
        partition,
        offset,
        key: record.key,
        value: record.value,
        headers: record.headers,
        timestamp: Number(batch.firstTimestamp + record.timestampDelta),
      });
    }
  }
  return { partition, messages, next, end: Number(lastStableOffset), lost: 0 };
}
