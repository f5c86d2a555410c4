import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, expect, test } from "vitest";

import { makeBatch } from "@custody/stores/record-batch";
import { seededRandom } from "@custody/stores/testing/seeded-random";

import type { Stores } from "../../stores.ts";
import { openInstallation, scope } from "../../testing/installation.ts";
import type { Installation } from "../../testing/installation.ts";
import { assets, attempt, attempts, interviews, samplePack } from "../../testing/sample-types.ts";

/** How many entries were read to be compared or projected. */
let listed = 0;
let installation: Installation;

/** Counts the entries that are listed from the real journal. */
function counted(stores: Stores): Stores {
  const journal: Stores["journal"] = async () => {
    const real = await stores.journal();
    return new Proxy(real, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (name !== "entries" || typeof member !== "function") return member;
        return async (...args: readonly unknown[]) => {
          const entries = (await Reflect.apply(member, target, args)) as readonly unknown[];
          listed += entries.length;
          return entries;
        };
      },
    });
  };
  return { ...stores, journal };
}

beforeEach(async () => {
  installation = await openInstallation({ wrapStores: counted });
});
afterEach(() => installation[Symbol.asyncDispose]());

const putAttempts = async (first: number, count: number): Promise<void> => {
  for (let at = first; at < first + count; at += 1) {
    const put = [{ fields: attempt(`r${at}`) }];
    await installation.custody.commit(scope, [{ type: attempts.name, put }]);
  }
};

const asset = (name: string, risk: number) => ({ fields: { name, owner: "ana", risk } });

const entriesReadBy = async (options: { readonly deep?: boolean } = {}): Promise<number> => {
  await installation.custody.catchUp(scope);
  listed = 0;
  const report = await installation.custody.reconcile(scope, { roles: ["document"], ...options });
  expect(report.ok).toBe(true);
  return listed;
};

test("what was summed up once is not read again, unless the comparison is deep", async () => {
  await putAttempts(0, 20);
  expect(await entriesReadBy()).toBeGreaterThanOrEqual(20);
  // The entry that records the first comparison is new, and projected.
  expect(await entriesReadBy()).toBeLessThan(5);
  await putAttempts(20, 3);
  expect(await entriesReadBy()).toBeLessThan(10);
  expect(await entriesReadBy({ deep: true })).toBeGreaterThanOrEqual(23);
});

test("remembered sums find a hidden change as sums made anew do", async () => {
  await putAttempts(0, 20);
  await installation.custody.catchUp(scope);
  await installation.custody.reconcile(scope);
  const documents = await installation.stores.projected("document");
  await documents.repair(
    scope,
    {
      name: attempts.name,
      generation: 1,
      placements: { [attempts.name]: attempts.placements.document ?? {} },
    },
    makeBatch(attempts.name, [{ id: "r7", sequence: 1 }]),
  );
  const report = await installation.custody.reconcile(scope, { roles: ["document"] });
  const [projection] = report.projections.filter(({ name }) => name === attempts.name);
  expect(projection?.kinds).toEqual({ missing: 1, extra: 0, stale: 0, altered: 0 });
});

test("a summary that was changed by hand after a comparison is found altered by the next, and built anew", async () => {
  const { custody, directory } = installation;
  await putAttempts(0, 5);
  await custody.catchUp(scope);
  const summary = async (options: { readonly repair?: boolean } = {}) => {
    const { projections } = await custody.reconcile(scope, { roles: ["relational"], ...options });
    const found = projections.find(({ name }) => name === "sample/attempts_by_model");
    return { kinds: found?.kinds, repaired: found?.repaired };
  };
  const none = { missing: 0, extra: 0, stale: 0, altered: 0 };
  expect(await summary()).toEqual({ kinds: none, repaired: 0 });
  const path = join(directory, "tenants", scope.tenant, "relational.sqlite");
  const database = new DatabaseSync(path);
  const groups = "sample__attempts_by_model__g1_groups";
  expect(database.prepare(`UPDATE "${groups}" SET records = 7`).run().changes).toBe(1);
  database.close();
  expect(await summary()).toEqual({ kinds: { ...none, altered: 1 }, repaired: 0 });
  expect(await summary({ repair: true })).toEqual({ kinds: { ...none, altered: 1 }, repaired: 1 });
  expect(await summary()).toEqual({ kinds: none, repaired: 0 });
});

test("an older version is taken out of remembered sums, a deleted record altogether", async () => {
  const { custody } = installation;
  for (let at = 0; at < 30; at += 1)
    await custody.commit(scope, [{ type: assets.name, put: [asset(`a${at}`, at)] }]);
  await custody.reconcile(scope);
  await custody.commit(scope, [{ type: assets.name, put: [asset("a1", 9)] }]);
  await custody.commit(scope, [{ type: assets.name, put: [asset("a1", 10)] }]);
  await custody.commit(scope, [{ type: assets.name, delete: ["a2"] }]);
  await custody.catchUp(scope);
  listed = 0;
  const report = await custody.reconcile(scope, { roles: ["relational"] });
  const tables = report.projections.filter(({ name }) => name === assets.name);
  expect(tables.map(({ records, differences }) => [records, differences])).toEqual([[29, 0]]);
  // Sums that were wrong would have been made anew, from the first entry on.
  expect(listed).toBeLessThan(10);
});

const seed = Math.trunc(Math.random() * 2 ** 31);

test(`sums brought forward equal sums made anew, whatever is written: seed ${seed}`, async () => {
  const { custody } = installation;
  const random = seededRandom(seed);
  const pick = (below: number): number => Math.floor(random() * below);
  let made = 0;
  for (let round = 0; round < 6; round += 1) {
    for (let commit = pick(6); commit >= 0; commit -= 1) {
      const names = [...new Set(Array.from({ length: 1 + pick(4) }, () => `asset-${pick(8)}`))];
      await custody.commit(scope, [
        { type: assets.name, put: names.map((name) => asset(name, pick(100))) },
      ]);
      const gone = `asset-${pick(8)}`;
      const isLive = (await custody.get(scope, assets.name, gone)) !== undefined;
      if (random() < 0.4 && isLive)
        await custody.commit(scope, [{ type: assets.name, delete: [gone] }]);
      if (random() < 0.5) await putAttempts((made += 1) * 100, 2);
    }
    const brought = await custody.reconcile(scope);
    const anew = await custody.reconcile(scope, { deep: true });
    expect(brought.ok).toBe(true);
    expect(anew.ok).toBe(true);
    const counts = (report: typeof brought) =>
      report.projections
        .filter(({ name }) => !name.startsWith("custody/"))
        .map(({ role, name, records, months }) => ({ role, name, records, months }));
    expect(counts(brought)).toEqual(counts(anew));
  }
}, 60_000);

test.each([
  ["altered", (text: string) => text.replace(/"count":\d+/, '"count":7')],
  ["of another seal", (text: string) => `${"0".repeat(64)}${text.slice(64)}`],
  ["no sums at all", () => "nonsense"],
])("remembered sums that are %s are made anew", async (_what, change) => {
  await putAttempts(0, 20);
  await installation.custody.reconcile(scope);
  await installation.custody[Symbol.asyncDispose]();
  const database = new DatabaseSync(join(installation.directory, "journal.sqlite"));
  const table = database
    .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%state%'")
    .all()
    .map((row) => String(row["name"]));
  expect(table).toHaveLength(1);
  const rows = database
    .prepare(`SELECT name, value FROM "${table[0]}" WHERE name LIKE 'reconcile/sums/%'`)
    .all();
  expect(rows.length).toBeGreaterThan(3);
  const update = database.prepare(`UPDATE "${table[0]}" SET value = ? WHERE name = ?`);
  for (const { name, value } of rows) update.run(change(String(value)), String(name));
  database.close();
  installation = await installation.reopen({ packs: [samplePack], wrapStores: counted });
  expect(await entriesReadBy()).toBeGreaterThanOrEqual(20);
});

test("personal fields are summed up as they are stored", async () => {
  const { custody } = installation;
  await custody.commit(scope, [{ type: assets.name, put: [asset("web", 1)] }]);
  const said = { id: "i1", asset: "web", person: "bo", said: "it is slow" };
  await custody.commit(scope, [{ type: interviews.name, put: [{ fields: said }] }]);
  await custody.reconcile(scope);
  const report = await custody.reconcile(scope);
  const kept = report.projections.filter(({ name }) => name === interviews.name);
  expect(kept.map(({ records, differences }) => [records, differences])).toEqual([
    [1, 0],
    [1, 0],
    [1, 0],
  ]);
});
