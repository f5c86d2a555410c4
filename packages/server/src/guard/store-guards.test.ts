import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";
import { expect, test } from "vitest";

import { StoreGuards } from "./store-guards.ts";

const scope: Scope = { tenant: "acme", actor: "user:test", deadline: Infinity };

/** A server with the methods that the tests ask for; it answers until it is told to be away. */
function server(): {
  isAway: boolean;
  asked: string[];
  readonly limits: { readonly pageMax: number };
  find(scope: Scope): Promise<string>;
  apply(scope: Scope): Promise<void>;
  begin(scope: Scope): Promise<string>;
  health(): Promise<string>;
} {
  const self = {
    isAway: false,
    asked: [] as string[],
    limits: { pageMax: 10 },
    find: () => self.answer("find", "found"),
    apply: () => self.answer("apply", undefined),
    begin: () => self.answer("begin", "begun"),
    health: () => self.answer("health", "well"),
    answer: async <Answer>(name: string, answer: Answer): Promise<Answer> => {
      self.asked.push(name);
      if (self.isAway) throw new StoreError("unavailable", "connection refused");
      return answer;
    },
  };
  return self;
}

function guards(): StoreGuards {
  return new StoreGuards({ clock: () => Date.now(), random: () => Uint8Array.of(255) });
}

test("a guarded store answers as the store does, and has its members", async () => {
  const store = await guards().open({ name: "search", product: "OpenSearch" }, async () =>
    server(),
  );
  expect(await store.find(scope)).toBe("found");
  expect(store.limits).toEqual({ pageMax: 10 });
});

test("a store that is away is not asked, its health still is, and other stores are asked as ever", async () => {
  const all = guards();
  const [down, up] = [server(), server()];
  const search = await all.open({ name: "search", product: "OpenSearch" }, async () => down);
  const series = await all.open({ name: "series", product: "InfluxDB" }, async () => up);
  down.isAway = true;
  for (let time = 0; time < 7; time += 1)
    await expect(search.apply(scope)).rejects.toMatchObject({ code: "unavailable" });
  expect(down.asked).toHaveLength(5);
  await expect(search.health()).rejects.toMatchObject({ message: "connection refused" });
  expect(await series.find(scope)).toBe("found");
  expect(all.reports()).toMatchObject([
    { store: "search", state: "open", reason: "connection refused" },
  ]);
});

test("writers are told at once while the journal is away, and a lock that is waited for counts for nothing", async () => {
  const all = guards();
  const down = server();
  const journal = await all.open({ name: "journal", product: "PostgreSQL" }, async () => down);
  down.isAway = true;
  for (let time = 0; time < 7; time += 1)
    await expect(journal.begin(scope)).rejects.toMatchObject({ message: "connection refused" });
  expect(all.reports()).toEqual([]);
  for (let time = 0; time < 5; time += 1) await expect(journal.apply(scope)).rejects.toThrow();
  await expect(journal.begin(scope)).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("PostgreSQL (journal) has not answered since"),
  });
  expect(down.asked.filter((name) => name === "begin")).toHaveLength(7);
});

test("a store that cannot be opened counts as one that does not answer", async () => {
  const all = guards();
  let tried = 0;
  const open = async (): Promise<ReturnType<typeof server>> => {
    tried += 1;
    throw new StoreError("unavailable", "connection refused");
  };
  for (let time = 0; time < 8; time += 1)
    await expect(all.open({ name: "graph", product: "Neo4j" }, open)).rejects.toMatchObject({
      code: "unavailable",
    });
  expect(tried).toBe(5);
});
