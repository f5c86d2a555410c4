import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";
import type { EventStream, NewEvent, StreamEvent } from "@custody/stores/stream/port";

/** An event log in memory: what was published is there, in order, and nothing else. */
export class MemoryStream implements EventStream {
  readonly role = "stream";
  readonly engine = "memory";
  readonly capabilities = { isJournalCursor: false, hasIntake: false } as const;
  readonly limits = { pageMax: 10_000, groupLengthMax: 255 };
  readonly topics: Map<string, StreamEvent[]> = new Map();
  readonly #groups = new Map<string, Map<string, string>>();

  async publish(scope: Scope, events: readonly NewEvent[]): Promise<void> {
    for (const event of events) {
      const told = this.#topic(scope, event.topic);
      told.push({ ...event, offset: String(told.length + 1) });
    }
  }

  async read(
    scope: Scope,
    topic: string,
    { after, limit }: { readonly after: string; readonly limit: number },
  ): Promise<readonly StreamEvent[]> {
    return this.#topic(scope, topic).slice(Number(after), Number(after) + limit);
  }

  async poll(
    scope: Scope,
    topic: string,
    group: string,
    limit: number,
  ): Promise<readonly StreamEvent[]> {
    const after = this.#group(scope, topic).get(group) ?? "0";
    return this.read(scope, topic, { after, limit });
  }

  async acknowledge(scope: Scope, topic: string, group: string, offset: string): Promise<void> {
    const known = this.#group(scope, topic).get(group) ?? "0";
    if (Number(offset) > Number(known)) this.#group(scope, topic).set(group, offset);
  }

  async seek(scope: Scope, topic: string, group: string, offset: string): Promise<void> {
    this.#group(scope, topic).set(group, offset);
  }

  async groups(
    scope: Scope,
    topic: string,
  ): Promise<readonly { readonly group: string; readonly offset: string }[]> {
    return [...this.#group(scope, topic)].map(([group, offset]) => ({ group, offset }));
  }

  partitions(): ReturnType<EventStream["partitions"]> {
    return Promise.reject(new StoreError("unsupported", "this stream has no intake"));
  }

  fetch(): ReturnType<EventStream["fetch"]> {
    return Promise.reject(new StoreError("unsupported", "this stream has no intake"));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #topic({ tenant }: Scope, topic: string): StreamEvent[] {
    const key = `${tenant} ${topic}`;
    const known = this.topics.get(key) ?? [];
    this.topics.set(key, known);
    return known;
  }

  #group({ tenant }: Scope, topic: string): Map<string, string> {
    const key = `${tenant} ${topic}`;
    const known = this.#groups.get(key) ?? new Map<string, string>();
    this.#groups.set(key, known);
    return known;
  }
}
