import { fetchKafka } from "../drivers/kafka-fetch.ts";
import type { KafkaMessage } from "../drivers/kafka-fetch.ts";
import type { KafkaTopic, KafkaWork } from "../drivers/kafka.ts";
import { formatKafkaOffset, overPartitions } from "./kafka-offset.ts";
import type { KafkaOffset } from "./kafka-offset.ts";
import type { StreamEvent } from "./port.ts";

/** The header that holds an event's id. */
export const EVENT_ID = "event-id";

const FETCH_BYTES = 4 * 1024 * 1024;
/** A page ends here, also when more events were asked for. */
const PAGE_BYTES = 16 * 1024 * 1024;
/** Readers whose next events are kept; a broker sends whole batches, however few events are asked for. */
const AHEAD_MAX = 4;

/** Messages that were read and not asked for yet, and where to read on behind them. */
interface Ahead {
  readonly found: readonly Found[];
  /** Offset to fetch next, by partition. */
  readonly next: readonly number[];
}

interface Found {
  readonly message: KafkaMessage;
  /** The message's time; never less than that of one before it in its partition. */
  readonly at: number;
}

/** KafkaReader: pages of a topic's events, whatever number of partitions it has. */
export class KafkaReader {
  readonly #ahead = new Map<string, Ahead>();

  /** The events after an offset, at most `limit`; none when there is none now. */
  async read(
    work: KafkaWork,
    topic: KafkaTopic,
    asked: { readonly topic: string; readonly from: KafkaOffset; readonly limit: number },
  ): Promise<readonly StreamEvent[]> {
    const place = overPartitions(asked.from, topic.leaders.length);
    const key = aheadKey(topic, place);
    const { found, next } = await fill(work, topic, {
      limit: asked.limit,
      ahead: this.#ahead.get(key) ?? { found: [], next: place },
    });
    this.#ahead.delete(key);
    const events = found.slice(0, asked.limit).map(({ message }) => {
      place[message.partition] = message.offset + 1;
      return eventOf(asked.topic, message, formatKafkaOffset(place));
    });
    if (found.length > events.length) {
      const [oldest] = this.#ahead.keys();
      if (oldest !== undefined && this.#ahead.size >= AHEAD_MAX) this.#ahead.delete(oldest);
      this.#ahead.set(aheadKey(topic, place), { found: found.slice(events.length), next });
    }
    return events;
  }
}

/** A topic that is made anew under its name has another id. */
function aheadKey({ id }: KafkaTopic, place: KafkaOffset): string {
  return `${id} ${formatKafkaOffset(place)}`;
}

/** Fetches until there are enough messages for a page, or no more. */
async function fill(
  work: KafkaWork,
  topic: KafkaTopic,
  { limit, ahead }: { readonly limit: number; readonly ahead: Ahead },
): Promise<Ahead> {
  if (ahead.found.length >= limit) return ahead;
  const found = [...ahead.found];
  const next = [...ahead.next];
  const newest = new Map(found.map(({ message, at }) => [message.partition, at]));
  const unread = new Map(next.entries());
  for (let bytes = 0; unread.size > 0 && found.length < limit && bytes < PAGE_BYTES;) {
    const pages = await fetchKafka(work, { topic, from: unread, bytesMax: FETCH_BYTES, waitMs: 0 });
    for (const page of pages) {
      for (const message of page.messages) {
        const at = Math.max(newest.get(page.partition) ?? 0, message.timestamp);
        newest.set(page.partition, at);
        found.push({ message, at });
        bytes += message.value?.length ?? 0;
      }
      next[page.partition] = page.next;
      if (page.next >= page.end) unread.delete(page.partition);
      else unread.set(page.partition, page.next);
    }
  }
  // By time, so that no partition waits for another; a time never goes back within one, so its order holds.
  if (next.length > 1) found.sort(byTime);
  return { found, next };
}

function byTime(left: Found, right: Found): number {
  return (
    left.at - right.at ||
    left.message.partition - right.message.partition ||
    left.message.offset - right.message.offset
  );
}

function eventOf(
  topic: string,
  { key, value, headers }: KafkaMessage,
  offset: string,
): StreamEvent {
  const id = headers.find(([name]) => name?.toString() === EVENT_ID)?.[1];
  return {
    topic,
    key: key?.toString() ?? "",
    eventId: id?.toString() ?? "",
    body: value?.toString() ?? "",
    offset,
  };
}
