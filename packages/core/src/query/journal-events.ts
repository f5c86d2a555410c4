import { compilePath } from "@custody/contract/field-path";
import { stringifyJson } from "@custody/contract/json";
import { batchRecord } from "@custody/stores/record-batch";
import type { JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { EventSource, StreamEvent } from "@custody/stores/stream/port";

import { decodeEntry } from "../journal/format/entry.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { TypeRegistry } from "../records/type-registry.ts";

export interface JournalEventsParts {
  readonly journal: JournalStore;
  readonly reader: JournalReader;
  readonly registry: TypeRegistry;
}

const ENTRIES_PER_STEP = 64;
// Of a timeline's random 32 hex digits: enough that no two restores of a journal ever agree in them.
const TIMELINE_DIGITS = 12;

/**
 * Reads domain events out of the journal: for each committed record of a type with a stream placement,
 * its id, type, sequence, operation and facts. Offsets are `sequence.ordinal`; ids tell the entry's
 * timeline too, as a restore to an earlier instant uses the sequences behind it once more.
 */
export function journalEvents(parts: JournalEventsParts): EventSource {
  return async (scope, topic, { after, limit }) => {
    const types = typesOfTopic(parts.registry, topic);
    if (types.length === 0) return [];
    const [sequence, ordinal] = parseOffset(after);
    const events: StreamEvent[] = [];
    let from = sequence === 0 ? 0 : sequence - 1;
    for (;;) {
      const entries = await parts.journal.entries(scope, {
        after: from,
        type: types,
        limit: ENTRIES_PER_STEP,
      });
      for (const entry of entries) {
        const start = entry.sequence === sequence ? ordinal + 1 : 0;
        events.push(...(await entryEvents(parts, scope, topic, { entry, start })));
        if (events.length >= limit) return events.slice(0, limit);
      }
      from = entries.at(-1)?.sequence ?? from;
      if (entries.length < ENTRIES_PER_STEP) return events;
    }
  };
}

/** The topics that types are told on, sorted. */
export function topicsOf(registry: TypeRegistry): readonly string[] {
  const topics = registry
    .all()
    .flatMap(({ declaration }) => declaration.placements.stream?.topic ?? []);
  return [...new Set(topics)].sort();
}

/** The types that are told on a topic. */
export function typesOfTopic(registry: TypeRegistry, topic: string): readonly string[] {
  return registry
    .all()
    .filter(({ declaration }) => declaration.placements.stream?.topic === topic)
    .map(({ name }) => name);
}

async function entryEvents(
  parts: JournalEventsParts,
  scope: Scope,
  topic: string,
  { entry, start }: { readonly entry: StoredEntry; readonly start: number },
): Promise<readonly StreamEvent[]> {
  const facts = parts.registry.require(entry.type).declaration.placements.stream?.facts ?? [];
  const readers = facts.map((path) => [path, compilePath(path)] as const);
  const { batch } = await parts.reader.records(scope, entry);
  const timeline = decodeEntry(entry.bytes).timeline.slice(0, TIMELINE_DIGITS);
  return batch.ids.flatMap((id, ordinal) => {
    if (ordinal < start) return [];
    const record = batchRecord(batch, ordinal);
    const told = readers.map(([path, read]) => [path, read(record)[0] ?? null]);
    const body = {
      type: entry.type,
      id,
      sequence: entry.sequence,
      operation: entry.operation,
      facts: Object.fromEntries(told) as unknown,
    };
    return [
      {
        topic,
        key: id,
        eventId: `${scope.tenant}:${timeline}:${entry.sequence}:${ordinal}`,
        body: stringifyJson(body),
        offset: `${entry.sequence}.${ordinal}`,
      },
    ];
  });
}

function parseOffset(offset: string): readonly [number, number] {
  if (offset === "0") return [0, -1];
  const [sequence = 0, ordinal = -1] = offset.split(".").map(Number);
  return [sequence, ordinal];
}
