import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { describeStream } from "./conformance.ts";
import { openJournalStream } from "./journal-cursor.ts";
import type { EventSource, NewEvent, StreamEvent } from "./port.ts";

const module = new URL("./journal-cursor.ts", import.meta.url).href;

/** A journal of one record per entry: the event of entry `n` has the offset `n.0`. */
function journalOf(told: Map<string, NewEvent[]>): EventSource {
  return async ({ tenant }, topic, { after, limit }) => {
    const [sequence = 0] = after.split(".").map(Number);
    const events: StreamEvent[] = (told.get(tenant) ?? []).map((event, index) => ({
      ...event,
      offset: `${index + 1}.0`,
    }));
    const later = events.slice(sequence).filter((event) => event.topic === topic);
    return await Promise.resolve(later.slice(0, limit));
  };
}

describeStream("journal", async () => {
  const directory = await makeTemporaryDirectory();
  const told = new Map<string, NewEvent[]>();
  const options = { directory: directory.path, source: journalOf(told) };
  let stream = await openJournalStream(options);
  return {
    stream,
    async tell(tenant, events) {
      told.set(tenant, [...(told.get(tenant) ?? []), ...events]);
      await Promise.resolve();
    },
    async reopen() {
      await stream[Symbol.asyncDispose]();
      stream = await openJournalStream(options);
      return stream;
    },
    childStream: () => `(await import("${module}")).openJournalStream({
      directory: ${JSON.stringify(directory.path)},
      source: (${journalOf.toString()})(new Map(${JSON.stringify([...told])})) })`,
    async [Symbol.asyncDispose]() {
      await stream[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
});

test("a file of offsets that is no database is reported as corrupt, and reading without a group goes on", async () => {
  await using directory = await makeTemporaryDirectory();
  const scope = scopeFor("tenant-a");
  const event = { topic: "t", key: "k", eventId: "a:0123456789ab:1:0", body: "{}" };
  const source = journalOf(new Map([["tenant-a", [event]]]));
  const options = { directory: directory.path, source };
  const first = await openJournalStream(options);
  await first.acknowledge(scope, "t", "g", "1.0");
  await first[Symbol.asyncDispose]();
  const file = join(directory.path, "tenants", "tenant-a", "stream.sqlite");
  await writeFile(file, "no database".repeat(1_000));
  await using second = await openJournalStream(options);
  await expect(second.poll(scope, "t", "g", 1)).rejects.toMatchObject({
    name: "StoreError",
    code: "corrupt",
  });
  expect(await second.read(scope, "t", { after: "0", limit: 1 })).toHaveLength(1);
});

test("offsets within one entry are ordered by their ordinals", async () => {
  await using directory = await makeTemporaryDirectory();
  const scope = scopeFor("tenant-a");
  const source: EventSource = async () => await Promise.resolve([]);
  await using stream = await openJournalStream({ directory: directory.path, source });
  for (const offset of ["7.9", "7.10", "7.2", "6.999", "7"]) {
    await stream.acknowledge(scope, "t", "g", offset);
  }
  expect(await stream.groups(scope, "t")).toEqual([{ group: "g", offset: "7.10" }]);
});
