import type { Collection, ProjectedStore } from "@custody/stores/projected-store";
import type { Delivery } from "@custody/stores/record-batch";
import { expect, test } from "vitest";

import type { Custody } from "../custody.ts";
import type { ProjectedRole, Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { assets, assetsByOwner, attempt, attempts, samplePack } from "../testing/sample-types.ts";

test("a version that another process had refused by the store is not taken back", async () => {
  let isAhead = false;
  await using installation = await openInstallation({
    packs: [{ ...samplePack, types: [assets], summaries: [assetsByOwner] }],
    wrapStores: (stores) =>
      beforeCall(
        stores,
        { role: "relational", method: "apply" },
        async ({ store, collection, argument }) => {
          const delivery = argument as Delivery;
          if (!isCursed(delivery)) return;
          isAhead = true;
          await deliverElsewhere({ stores, store }, collection, delivery);
        },
      ),
  });
  const { custody } = installation;
  const put = async (name: string, note: string): Promise<void> => {
    const fields = { name, owner: "ann", risk: note === "cursed" ? 666 : 1 };
    await custody.commit(scope, [{ type: assets.name, put: [{ fields }] }]);
    await custody.catchUp(scope, ["relational"]);
  };
  await put("web", "fine");
  await put("mail", "cursed");
  expect(isAhead).toBe(true);
  await put("mail", "fine");
  const { rows } = await custody.table(scope, assetsByOwner.name, { limit: 10 });
  expect(rows.map((row) => [row["owner"], Number(row["assets"])])).toEqual([["ann", 2]]);
  expect(await custody.quarantine.list(scope)).toEqual([]);
  expect((await custody.reconcile(scope)).ok).toBe(true);
});

test("a projection that another version begins in the same moment begins its own build beside it", async () => {
  let isBegun = false;
  await using installation = await openInstallation({
    wrapStores: (stores) =>
      beforeCall(stores, { role: "document", method: "prepare" }, async ({ store, collection }) => {
        if (isBegun || collection.name !== assets.name) return;
        isBegun = true;
        // The same build, with a field more.
        const placements = { [assets.name]: { indexes: [["risk"], ["owner"]] } };
        await store.prepare(scope, { ...collection, placements });
      }),
  });
  const { custody } = installation;
  const fields = { name: "web", owner: "ann", risk: 1 };
  await custody.commit(scope, [{ type: assets.name, put: [{ fields }] }]);
  expect((await custody.find(scope, assets.name)).records.map(({ id }) => id)).toEqual(["web"]);
  expect(isBegun).toBe(true);
  await custody.catchUp(scope);
  const journal = await installation.stores.journal();
  const state: unknown = JSON.parse(
    (await journal.state(scope, `projection/document/${assets.name}`)) ?? "{}",
  );
  expect(state).toMatchObject({ active: { generation: 2 } });
  expect((await custody.reconcile(scope)).ok).toBe(true);
});

test.each(["find", "count"] as const)(
  "a read (%s) whose build is dropped before it is asked is answered by the next build",
  async (question) => {
    const opened: { custody?: Custody } = {};
    let dropped = 0;
    await using installation = await openInstallation({
      wrapStores: (stores) =>
        beforeCall(stores, { role: "document", method: question }, async () => {
          if (dropped > 0) return;
          dropped += 1;
          await opened.custody?.rebuild(scope, ["document"]);
        }),
    });
    const { custody } = installation;
    opened.custody = custody;
    await custody.commit(scope, [{ type: attempts.name, put: [{ fields: attempt("a1") }] }]);
    const answers = {
      find: async () => (await custody.find(scope, attempts.name)).records.length,
      count: async () => (await custody.count(scope, attempts.name)).count,
    };
    expect(await answers[question]()).toBe(1);
    expect(dropped).toBe(1);
  },
);

test("a read of a store that went back waits until it has caught up again", async () => {
  let wentBack = 0;
  await using installation = await openInstallation({
    wrapStores: (stores) =>
      beforeCall(stores, { role: "document", method: "find" }, async ({ store, collection }) => {
        if (wentBack > 0) return;
        wentBack += 1;
        await store.discard(scope, collection);
      }),
  });
  const { custody } = installation;
  await custody.commit(scope, [{ type: attempts.name, put: [{ fields: attempt("a1") }] }]);
  expect((await custody.find(scope, attempts.name)).records).toHaveLength(1);
  expect(wentBack).toBe(1);
});

function isCursed({ batches }: Delivery): boolean {
  return batches.some(({ text }) => Buffer.from(text).includes("666"));
}

interface Elsewhere {
  readonly stores: Stores;
  readonly store: ProjectedStore<unknown>;
}

/** Does as another process that comes first: notes the refusal, and writes the delivery without its records. */
async function deliverElsewhere(
  { stores, store }: Elsewhere,
  collection: Collection<unknown>,
  { batches, ...delivery }: Delivery,
): Promise<void> {
  const journal = await stores.journal();
  const refused = batches.flatMap(({ type, ids, sequences }) =>
    ids.map((id, index) => ({ type, id, sequence: sequences[index] ?? 0 })),
  );
  await journal.putQuarantine(
    scope,
    refused.map((record) => ({
      ...record,
      since: record.sequence,
      role: "relational",
      collection: collection.name,
      reason: "cursed, says the test",
      at: 0,
    })),
  );
  await store.apply(scope, collection, { ...delivery, batches: [] });
}

/** A call to a projected store. */
interface Call {
  readonly store: ProjectedStore<unknown>;
  readonly collection: Collection<unknown>;
  /** What is asked or delivered. */
  readonly argument: unknown;
}

/** The same stores; something happens before each call of one method of one role's store. */
function beforeCall(
  stores: Stores,
  {
    role,
    method,
  }: { readonly role: ProjectedRole; readonly method: "apply" | "find" | "count" | "prepare" },
  step: (call: Call) => Promise<void>,
): Stores {
  const watched = (store: object): object =>
    new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (name !== method || typeof member !== "function") return member;
        return async (...args: readonly [unknown, Collection<unknown>, unknown]) => {
          const [, collection, argument] = args;
          await step({ store: store as ProjectedStore<unknown>, collection, argument });
          return (await Reflect.apply(member, target, args)) as unknown;
        };
      },
    });
  return {
    ...stores,
    projected: async (asked) => {
      const store = await stores.projected(asked);
      return asked === role ? (watched(store) as typeof store) : store;
    },
  };
}
