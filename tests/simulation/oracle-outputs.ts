import { canonicalJson } from "@custody/contract/json";

import { tableRows } from "./adapters/tenant-journal.ts";
import type { HistoryEntry, LiveState } from "./history.ts";
import { ensure } from "./violation.ts";
import type { World } from "./world.ts";

const TOPICS: Readonly<Record<string, string>> = {
  "sim/events": "sim.events",
  "sim/assets": "sim.assets",
};

/** Every record of a type that is told of was told, and of one record the earlier version first. */
export function checkEvents(world: World, tenant: string, entries: readonly HistoryEntry[]): void {
  const timeline = world.database.committed(tenant).head?.timeline.slice(0, 12);
  for (const [type, topic] of Object.entries(TOPICS)) {
    const events = world.stream.topics.get(`${tenant} ${topic}`) ?? [];
    const told = new Set(events.map(({ eventId }) => eventId));
    const wanted = entries
      .filter((entry) => entry.type === type)
      .flatMap(({ sequence, records }) =>
        records.map((_, line) => `${tenant}:${timeline}:${sequence}:${line}`),
      );
    const missing = wanted.filter((eventId) => !told.has(eventId));
    const invented = [...told].filter((eventId) => !wanted.includes(eventId));
    ensure(missing.length === 0 && invented.length === 0, "events-are-told", () => {
      return `${topic} lacks ${missing.join(", ")} and has ${invented.join(", ")}`;
    });
    const last = new Map<string, number>();
    const seen = new Set<string>();
    for (const { key, eventId } of events) {
      if (seen.has(eventId)) continue;
      seen.add(eventId);
      const sequence = Number(eventId.split(":")[2]);
      const before = last.get(key) ?? 0;
      ensure(before <= sequence, "events-are-told", () => `${eventId} came after ${before}`);
      last.set(key, sequence);
    }
  }
}

/** The table of a transactional type is what its live records say, and no two of them share a login. */
export function checkTable(world: World, tenant: string, live: LiveState): void {
  const users = [...(live.get("sim/users")?.values() ?? [])];
  const logins = users.map(({ fields }) => String(fields?.["login"]));
  ensure(new Set(logins).size === logins.length, "unique-holds", () => logins.join(", "));
  const rows = tableRows(world.database.committed(tenant), "sim__users", { limit: 1_000 });
  const stored = rows.map(({ id, sequence, columns }) => `${id}@${sequence} ${columns}`);
  const wanted = users
    .map(
      ({ id, sequence, fields }) =>
        `${id}@${sequence} ${canonicalJson({ login: fields?.["login"] })}`,
    )
    .sort();
  ensure(
    stored.join() === wanted.join(),
    "unique-holds",
    () => `the table holds ${stored.join(", ")}, the journal implies ${wanted.join(", ")}`,
  );
}
