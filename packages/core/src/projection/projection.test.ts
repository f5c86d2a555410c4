import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import type { Delivery } from "@custody/stores/record-batch";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt, attempts, samplePack } from "../testing/sample-types.ts";

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation();
});
afterEach(() => installation[Symbol.asyncDispose]());

const ROLES = ["document", "search", "relational", "series", "analytics", "graph"] as const;

async function fill(count: number): Promise<void> {
  const { custody } = installation;
  const models = ["aurora", "basalt"];
  await custody.commit(scope, [
    {
      type: "sample/attempts",
      put: Array.from({ length: count }, (_, index) => ({
        fields: attempt(`a${String(index).padStart(5, "0")}`, {
          model: models[index % 2],
          score: index / count,
          weaknesses: [`W-${index % 3}`, `W-${index % 5}`],
        }),
      })),
    },
    {
      type: "sample/assets",
      put: ["db", "web", "mail"].map((name, index) => ({
        fields: { name, owner: "ops", risk: index },
      })),
    },
  ]);
  await custody.commit(scope, [
    {
      type: "sample/assets",
      put: [{ fields: { name: "db", owner: "sec", risk: 9 } }],
      delete: ["mail"],
    },
  ]);
}

describe("every store answers after a commit", () => {
  beforeEach(() => fill(300));

  test("documents by any field", async () => {
    const page = await installation.custody.find(scope, "sample/attempts", {
      filter: { model: "basalt", weaknesses: "W-4" },
      sort: [{ path: "score", direction: "desc" }],
      limit: 2,
    });
    expect(page.records.map(({ id }) => id)).toEqual(["a00299", "a00289"]);
    expect(page.checkpoint).toBe(4);
  });

  test("texts by their words, with the hit marked", async () => {
    const answer = await installation.custody.search(scope, "sample/attempts", {
      query: '"ignore the rules" a00042',
    });
    expect(answer.total).toBe(1);
    expect(answer.hits[0]?.highlights["prompt"]).toContain("«a00042»");
  });

  test("numbers over time", async () => {
    const answer = await installation.custody.series(scope, "sample/attempts", {
      measurement: "attempts",
      from: Date.parse("2026-03-04T00:00:00Z"),
      to: Date.parse("2026-03-05T00:00:00Z"),
      bucketMs: 86_400_000,
      values: { n: { field: "score", fn: "count" } },
      groupBy: ["model"],
    });
    expect(answer.rows.map(({ tags, values }) => [tags["model"], values["n"]])).toEqual([
      ["aurora", 150],
      ["basalt", 150],
    ]);
  });

  test("groups, and SQL over several types", async () => {
    const { custody } = installation;
    const groups = await custody.aggregate(scope, "sample/attempts", {
      groupBy: ["model"],
      measures: { n: { fn: "count" } },
      limit: 10,
    });
    expect(groups.rows).toEqual([
      { model: "aurora", n: 150 },
      { model: "basalt", n: 150 },
    ]);
    const answer = await custody.sql(
      scope,
      "SELECT count(*) AS n FROM sample.attempts, sample.assets",
    );
    expect(Number(answer.rows[0]?.[0])).toBe(600);
  });

  test("tables and summaries", async () => {
    const { custody } = installation;
    const table = await custody.table(scope, "sample/assets", { limit: 10 });
    expect(table.rows.map((row) => [row["name"], row["risk"]])).toEqual([
      ["db", 9],
      ["web", 1],
    ]);
    const summary = await custody.table(scope, "sample/attempts_by_model", { limit: 10 });
    expect(summary.rows.map((row) => [row["model"], row["attempts"]])).toEqual([
      ["aurora", 150],
      ["basalt", 150],
    ]);
  });

  test("nodes and edges, with what was changed and deleted taken back", async () => {
    const { custody } = installation;
    const { neighbours } = await custody.graph.neighbours(scope, {
      node: { label: "Owner", id: "sec" },
      direction: "in",
      limit: 10,
    });
    expect(neighbours.map(({ node }) => node.id)).toEqual(["db"]);
    const gone = await custody.graph.neighbours(scope, {
      node: { label: "Owner", id: "ops" },
      direction: "in",
      limit: 10,
    });
    expect(gone.neighbours.map(({ node }) => node.id)).toEqual(["web"]);
  });

  test("events of a topic, in order, from an offset", async () => {
    const { custody } = installation;
    const events = await custody.events.read(scope, "sample.attempts", { limit: 2 });
    expect(events.map(({ key }) => key)).toEqual(["a00000", "a00001"]);
    const later = await custody.events.read(scope, "sample.attempts", {
      after: events[1]?.offset ?? "",
      limit: 1,
    });
    expect(JSON.parse(later[0]?.body ?? "")).toEqual({
      type: "sample/attempts",
      id: "a00002",
      sequence: 1,
      operation: "put",
      facts: { model: "aurora" },
    });
  });

  test("reconciliation finds no difference in any projection", async () => {
    const report = await installation.custody.reconcile(scope);
    expect(report.projections.filter(({ differences }) => differences > 0)).toEqual([]);
    expect(new Set(report.projections.map(({ role }) => role))).toEqual(new Set(ROLES));
  });

  test("a projection that is rebuilt answers as before and reconciles", async () => {
    const { custody } = installation;
    const ask = async (): Promise<unknown> => [
      (await custody.find(scope, "sample/assets")).records,
      (await custody.table(scope, "sample/attempts_by_model", { limit: 5 })).rows,
      (
        await custody.sql(
          scope,
          "SELECT model, count(*) FROM sample.attempts GROUP BY ALL ORDER BY 1",
        )
      ).rows,
      (
        await custody.graph.query(scope, {
          statement: "MATCH (n)-[e]->(m) RETURN count(*)",
          rowsMax: 5,
          timeMs: 5_000,
        })
      ).rows,
    ];
    const before = await ask();
    await custody.rebuild(scope, ROLES);
    expect(await ask()).toEqual(before);
    expect((await custody.reconcile(scope)).ok).toBe(true);
    const status = await custody.status(scope);
    expect(status.roles.document.projections.map(({ generation }) => generation)).toContain(2);
  });
});

describe("a store that fails", () => {
  test("delays only its own projection and catches up when it is back", async () => {
    const state = { isDown: true };
    await installation[Symbol.asyncDispose]();
    installation = await openInstallation({
      wrapStores: (stores) => failing(stores, () => (state.isDown ? "unavailable" : undefined)),
    });
    const { custody } = installation;
    await custody.commit(scope, [{ type: "sample/attempts", put: [{ fields: attempt("a1") }] }]);
    const found = await custody.search(scope, "sample/attempts", { query: "ignore" });
    expect(found.total).toBe(1);
    const status = await custody.status(scope);
    expect(status.roles.document.lag).toBeGreaterThan(0);
    state.isDown = false;
    expect((await custody.find(scope, "sample/attempts")).records).toHaveLength(1);
  });

  test("refusing one record has it quarantined, and replayed once the reason is gone", async () => {
    const state = { isPicky: true };
    await installation[Symbol.asyncDispose]();
    const picky = (delivery: Delivery): "refused" | undefined =>
      state.isPicky && delivery.batches.some(({ ids }) => ids.includes("a37"))
        ? "refused"
        : undefined;
    installation = await openInstallation({ wrapStores: (stores) => failing(stores, picky) });
    const { custody } = installation;
    const put = Array.from({ length: 100 }, (_, index) => ({ fields: attempt(`a${index}`) }));
    await custody.commit(scope, [{ type: "sample/attempts", put }]);
    expect((await custody.count(scope, "sample/attempts")).count).toBe(99);
    expect(await custody.quarantine.list(scope)).toMatchObject([
      { role: "document", collection: "sample/attempts", id: "a37", reason: "refused by the test" },
    ]);
    expect((await custody.reconcile(scope, { roles: ["document"] })).ok).toBe(true);
    state.isPicky = false;
    expect(await custody.quarantine.replay(scope)).toEqual({ replayed: 1, remaining: 0 });
    expect((await custody.count(scope, "sample/attempts")).count).toBe(100);
  });
});

describe("a changed type", () => {
  test("gets a new generation of its projections, and the old answers stay right until the switch", async () => {
    await fill(20);
    const { placements } = attempts;
    const changed = {
      ...attempts,
      placements: {
        ...placements,
        search: { fields: { prompt: { from: "prompt" } }, filters: { level: "score" } },
      },
    };
    const packs = [
      {
        ...samplePack,
        types: samplePack.types.map((type) => (type === attempts ? changed : type)),
      },
    ];
    installation = await installation.reopen({ packs });
    const { custody } = installation;
    const answer = await custody.search(scope, "sample/attempts", {
      query: "ignore",
      filter: { level: 0.5 },
    });
    expect(answer.total).toBe(1);
    const status = await custody.status(scope);
    const search = status.roles.search.projections.find(({ name }) => name === "sample/attempts");
    expect(search?.generation).toBe(2);
    expect((await custody.reconcile(scope)).ok).toBe(true);
  });

  test("that would lose a field is refused unless the loss is accepted", async () => {
    await fill(3);
    const schema = attempts.schema.omit({ prompt: true });
    const { search: _, ...placements } = attempts.placements;
    const poorer = { ...attempts, schema, placements };
    const packs = [
      { ...samplePack, types: samplePack.types.map((type) => (type === attempts ? poorer : type)) },
    ];
    installation = await installation.reopen({ packs });
    const put = [{ fields: attempt("z1") }];
    const commit = (): Promise<unknown> =>
      installation.custody.commit(scope, [{ type: "sample/attempts", put }]);
    await expect(commit()).rejects.toMatchObject({
      code: "would-lose",
      message: expect.stringContaining("prompt") as unknown,
    });
    installation = await installation.reopen({ packs, settings: { acceptLoss: true } });
    await expect(commit()).resolves.toMatchObject({ entries: [{ accepted: 1 }] });
  });
});

/** The same stores, of which the document store fails to apply as the test says. */
function failing(
  stores: Stores,
  fault: (delivery: Delivery) => "unavailable" | "refused" | undefined,
): Stores {
  return {
    ...stores,
    projected: async (role) => {
      const store = await stores.projected(role);
      if (role !== "document") return store;
      const documents: ProjectedStore<unknown> = store;
      const apply: ProjectedStore<unknown>["apply"] = async (where, collection, delivery) => {
        const code = fault(delivery);
        if (code !== undefined) throw new StoreError(code, `${code} by the test`);
        await documents.apply(where, collection, delivery);
      };
      return new Proxy(store, {
        get: (target, name) => (name === "apply" ? apply : Reflect.get(target, name)),
      });
    },
  };
}
