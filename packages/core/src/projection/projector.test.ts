import { afterEach, beforeEach, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import type { Delivery } from "@custody/stores/record-batch";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { assets, assetsByOwner, attempt, attempts, samplePack } from "../testing/sample-types.ts";

/** What the relational store was asked to apply, and what it is to answer instead. */
interface Watch {
  readonly seen: { collection: string; after: number | undefined; checkpoint: number }[];
  fault?: (delivery: Delivery) => StoreError | undefined;
  beforeApply?: (delivery: Delivery) => Promise<void>;
}

const SUMMARY = "sample/attempts_by_model";

let installation: Installation;
let watch: Watch;
beforeEach(async () => {
  watch = { seen: [] };
  installation = await openInstallation({ wrapStores: (stores) => watched(stores, watch) });
});
afterEach(() => installation[Symbol.asyncDispose]());

async function put(id: string): Promise<void> {
  await installation.custody.commit(scope, [
    { type: "sample/attempts", put: [{ fields: attempt(id) }] },
  ]);
}

async function counted(): Promise<unknown> {
  const { rows } = await installation.custody.table(scope, SUMMARY, { limit: 10 });
  return rows.map((row) => [row["model"], Number(row["attempts"])]);
}

test("a delivery says from which checkpoint it was read", async () => {
  for (const id of ["a1", "a2", "a3"]) {
    await put(id);
    await installation.custody.catchUp(scope, ["relational"]);
  }
  const steps = watch.seen.filter(({ collection }) => collection === SUMMARY);
  expect(steps.at(0)?.after).toBe(0);
  expect(steps.at(-1)?.checkpoint).toBe(3);
  for (const [index, { after }] of steps.entries()) {
    expect(after).toBe(steps[index - 1]?.checkpoint ?? 0);
  }
});

test("a store that stands elsewhere than remembered is read for from there, and nothing is quarantined", async () => {
  const { custody, stores } = installation;
  await put("a1");
  await put("a2");
  await custody.catchUp(scope, ["relational"]);
  const relational = await stores.projected("relational");
  const summary = samplePack.summaries.find(({ name }) => name === SUMMARY);
  const collection = {
    name: SUMMARY,
    generation: 1,
    placements: { [attempts.name]: { summary } },
  } as never;
  await relational.discard(scope, collection);
  await relational.prepare(scope, collection);
  await put("a3");
  expect(await counted()).toEqual([["aurora", 3]]);
  expect(await custody.quarantine.list(scope)).toEqual([]);
  expect((await custody.reconcile(scope)).ok).toBe(true);
});

test("a conflict that is over when the projector looks has it read anew, and nothing is quarantined", async () => {
  let conflicts = 0;
  watch.fault = ({ after }) => {
    if (after !== 1 || conflicts > 0) return undefined;
    conflicts += 1;
    return new StoreError("conflict", "another process brought it here since, says the test");
  };
  await put("a1");
  await installation.custody.catchUp(scope, ["relational"]);
  await put("a2");
  expect(await counted()).toEqual([["aurora", 2]]);
  expect(conflicts).toBe(1);
  expect(await installation.custody.quarantine.list(scope)).toEqual([]);
});

test("a store that goes back while refusals are sought is read for from where it stands", async () => {
  const { custody, stores } = installation;
  const collection = { name: SUMMARY, generation: 1, placements: {} } as never;
  let wentBack = 0;
  watch.beforeApply = async ({ batches, after }) => {
    const isWithout = batches.every(({ ids }) => !ids.includes("a2"));
    if (wentBack > 0 || after !== 1 || !isWithout) return;
    wentBack += 1;
    const relational = await stores.projected("relational");
    await relational.discard(scope, collection);
  };
  watch.fault = ({ batches }) =>
    batches.some(({ ids }) => ids.includes("a2"))
      ? new StoreError("refused", "refused, says the test")
      : undefined;
  await put("a1");
  await custody.catchUp(scope, ["relational"]);
  await put("a2");
  const followed = async (): Promise<unknown> => {
    const { projections } = (await custody.status(scope)).roles.relational;
    return projections.find(({ name }) => name === SUMMARY);
  };
  // Nobody asks to catch up, which would try again what had failed.
  await expect.poll(followed, { timeout: 15_000 }).toMatchObject({ condition: "idle", lag: 0 });
  expect(wentBack).toBe(1);
  await put("a3");
  expect(await counted()).toEqual([["aurora", 2]]);
  expect(await custody.quarantine.list(scope)).toMatchObject([{ collection: SUMMARY, id: "a2" }]);
});

test("a conflict that a record causes still has that record quarantined", async () => {
  watch.fault = ({ batches }) =>
    batches.some(({ ids }) => ids.includes("a2"))
      ? new StoreError("conflict", "not unique, says the test")
      : undefined;
  await put("a1");
  await put("a2");
  await put("a3");
  expect(await counted()).toEqual([["aurora", 2]]);
  expect(await installation.custody.quarantine.list(scope)).toMatchObject([
    { role: "relational", collection: SUMMARY, id: "a2", reason: "not unique, says the test" },
  ]);
});

test("a store that has gone back never takes back what it refuses again, and the latest version is listed", async () => {
  await installation[Symbol.asyncDispose]();
  installation = await openInstallation({
    packs: [{ ...samplePack, types: [assets], summaries: [assetsByOwner] }],
    settings: { delivery: { recordsMax: 1, bytesMax: 1_000_000 } },
    wrapStores: (stores) => watched(stores, watch),
  });
  const { custody, stores } = installation;
  const isCursed = ({ batches }: Delivery): boolean =>
    batches.some((batch) => Buffer.from(batch.text).includes("cursed"));
  watch.fault = (delivery) =>
    isCursed(delivery) ? new StoreError("refused", "cursed, says the test") : undefined;
  const putAsset = async (name: string, risk: number): Promise<void> => {
    const fields = { name, owner: "ann", risk };
    await custody.commit(scope, [{ type: assets.name, put: [{ fields }] }]);
    await custody.catchUp(scope, ["relational"]);
  };
  const listed = async (): Promise<unknown> =>
    (await custody.quarantine.list(scope)).map((row) => [row.collection, row.id, row.sequence]);
  await putAsset("web", 1);
  await putAsset("cursed", 1);
  await putAsset("cursed", 2);
  const latest = [
    ["sample/assets", "cursed", 3],
    [assetsByOwner.name, "cursed", 3],
  ];
  expect(await listed()).toEqual(latest);
  const relational = await stores.projected("relational");
  const collection = { name: assetsByOwner.name, generation: 1, placements: {} } as never;
  await relational.discard(scope, collection);
  let isAway = true;
  watch.fault = (delivery) => {
    const isRefused = isCursed(delivery);
    // Away once, between the two versions: what was refused is then read anew.
    if (isAway && isRefused && delivery.after === 2) {
      isAway = false;
      return new StoreError("unavailable", "away, says the test");
    }
    return isRefused ? new StoreError("refused", "cursed, says the test") : undefined;
  };
  await putAsset("mail", 1);
  expect(isAway).toBe(false);
  expect(await listed()).toEqual(latest);
  const { rows } = await custody.table(scope, assetsByOwner.name, { limit: 10 });
  expect(rows.map((row) => [row["owner"], Number(row["assets"])])).toEqual([["ann", 2]]);
  expect((await custody.reconcile(scope)).ok).toBe(true);
});

test("a store that is away after a second refusal was written down takes back neither version", async () => {
  await installation[Symbol.asyncDispose]();
  installation = await openInstallation({
    packs: [{ ...samplePack, types: [assets], summaries: [assetsByOwner] }],
    wrapStores: (stores) => watched(stores, watch),
  });
  const { custody } = installation;
  const isCursed = ({ batches }: Delivery): boolean =>
    batches.some((batch) => Buffer.from(batch.text).includes("cursed"));
  let timesAway = 0;
  watch.fault = (delivery) => {
    if (isCursed(delivery)) return new StoreError("refused", "cursed, says the test");
    // What is left of the summary's delivery without what was refused.
    const isSummarys = delivery.batches.some(({ previous }) => previous !== undefined);
    if (delivery.after !== 2 || !isSummarys || timesAway > 0) return undefined;
    timesAway += 1;
    return new StoreError("unavailable", "away, says the test");
  };
  const putAsset = async (name: string, risk: number): Promise<void> => {
    const fields = { name, owner: "ann", risk };
    await custody.commit(scope, [{ type: assets.name, put: [{ fields }] }]);
    await custody.catchUp(scope, ["relational"]);
  };
  await putAsset("web", 1);
  await putAsset("cursed", 1);
  await putAsset("cursed", 2);
  expect(timesAway).toBe(1);
  const { rows } = await custody.table(scope, assetsByOwner.name, { limit: 10 });
  expect(rows.map((row) => [row["owner"], Number(row["assets"])])).toEqual([["ann", 1]]);
  expect(await custody.quarantine.list(scope)).toMatchObject([
    { collection: "sample/assets", sequence: 3 },
    { collection: assetsByOwner.name, sequence: 3, since: 2 },
  ]);
  expect((await custody.reconcile(scope)).ok).toBe(true);
});

test("two replays at once leave one build, and what is refused again is still listed", async () => {
  watch.fault = ({ batches }) =>
    batches.some(({ ids }) => ids.includes("a2"))
      ? new StoreError("refused", "refused, says the test")
      : undefined;
  const { custody } = installation;
  for (const id of ["a1", "a2", "a3"]) await put(id);
  expect(await counted()).toEqual([["aurora", 2]]);
  await Promise.all(Array.from({ length: 4 }, () => custody.quarantine.replay(scope)));
  expect(await counted()).toEqual([["aurora", 2]]);
  expect(await custody.quarantine.list(scope)).toMatchObject([{ collection: SUMMARY, id: "a2" }]);
  const state = await (
    await installation.stores.journal()
  ).state(scope, `projection/relational/${SUMMARY}`);
  // Four builds, one after another, of which the last answers and no other is left.
  expect(JSON.parse(state ?? "{}")).toMatchObject({ active: { generation: 5 } });
  expect(Object.keys(JSON.parse(state ?? "{}") as object)).toEqual(["active"]);
});

/** The same stores, of which the relational one is watched. */
function watched(stores: Stores, { seen }: Watch): Stores {
  return {
    ...stores,
    projected: async (role) => {
      const store = await stores.projected(role);
      if (role !== "relational") return store;
      const real: ProjectedStore<unknown> = store;
      const apply: ProjectedStore<unknown>["apply"] = async (where, collection, delivery) => {
        const fault = watch.fault?.(delivery);
        if (fault !== undefined) throw fault;
        await watch.beforeApply?.(delivery);
        await real.apply(where, collection, delivery);
        const { after, checkpoint } = delivery;
        seen.push({ collection: collection.name, after, checkpoint });
      };
      return new Proxy(store, {
        get: (target, name) => {
          const value: unknown = name === "apply" ? apply : Reflect.get(target, name);
          return value;
        },
      });
    },
  };
}
