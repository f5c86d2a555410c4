import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { makeBatch } from "@custody/stores/record-batch";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt, attempts } from "../testing/sample-types.ts";

/** How often each read of a store was really made. */
let asked: string[];
let installation: Installation;

/** Counts what reaches the real stores. */
function counted(stores: Stores): Stores {
  const projected: Stores["projected"] = async (role) => {
    const store = await stores.projected(role);
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: readonly unknown[]) => {
          asked.push(`${role} ${String(name)}`);
          return Reflect.apply(member, target, args) as unknown;
        };
      },
    });
  };
  return { ...stores, projected };
}

const timesAsked = (what: string): number => asked.filter((one) => one === what).length;

beforeEach(async () => {
  asked = [];
  installation = await openInstallation({ wrapStores: counted });
  await put("a1");
});
afterEach(() => installation[Symbol.asyncDispose]());

async function put(id: string): Promise<void> {
  await installation.custody.commit(scope, [
    { type: attempts.name, put: [{ fields: attempt(id) }] },
  ]);
}

const count = async (of = scope): Promise<number> =>
  (await installation.custody.count(of, attempts.name)).count;

test("the same question at the same checkpoint is asked of the store once", async () => {
  expect([await count(), await count(), await count()]).toEqual([1, 1, 1]);
  expect(timesAsked("document count")).toBe(1);
});

test("questions asked at the same time are asked of the store once", async () => {
  await count();
  asked = [];
  const aggregate = () =>
    installation.custody.aggregate(scope, attempts.name, {
      groupBy: ["model"],
      measures: { n: { fn: "count" } },
      limit: 10,
    });
  const [first, ...others] = await Promise.all([aggregate(), aggregate(), aggregate()]);
  expect(others).toEqual([first, first]);
  expect(timesAsked("analytics aggregate")).toBe(1);
});

test("a commit is seen at once, as the checkpoint is another", async () => {
  expect(await count()).toBe(1);
  await put("a2");
  expect(await count()).toBe(2);
  expect(timesAsked("document count")).toBe(2);
});

test("another filter and another tenant are other questions", async () => {
  expect(await count()).toBe(1);
  const { custody } = installation;
  const none = await custody.count(scope, attempts.name, { filter: { model: "none" } });
  expect(none.count).toBe(0);
  expect(await count({ ...scope, tenant: "other" })).toBe(0);
  expect(timesAsked("document count")).toBe(3);
});

test("what a caller does to an answer is not seen by the next", async () => {
  const { custody } = installation;
  const first = await custody.find(scope, attempts.name);
  (first.records as unknown[]).length = 0;
  expect((await custody.find(scope, attempts.name)).records).toHaveLength(1);
});

test("a repair is seen at once, though no checkpoint moved", async () => {
  const { custody, stores } = installation;
  const collection = {
    name: attempts.name,
    generation: 1,
    placements: { [attempts.name]: attempts.placements.document ?? {} },
  };
  await custody.catchUp(scope);
  const documents = await stores.projected("document");
  await documents.repair(scope, collection, makeBatch(attempts.name, [{ id: "a1", sequence: 1 }]));
  expect(await count()).toBe(0);
  await custody.reconcile(scope, { roles: ["document"], repair: true });
  expect(await count()).toBe(1);
});

test("a costly answer is found in the cache role by another process, sealed", async () => {
  const { clock, stores } = installation;
  const cache = await stores.cache();
  const put = vi.spyOn(cache, "put");
  const slow = vi.spyOn(await stores.projected("document"), "count");
  slow.mockImplementation(async () => {
    clock.nowMs += 50;
    return Promise.resolve(12_345);
  });
  expect(await count()).toBe(12_345);
  const kept = put.mock.calls.filter(
    ([, key]) => key.startsWith("answers/") && !key.endsWith("epoch"),
  );
  expect(kept).toHaveLength(1);
  const [, , bytes, options] = kept[0] ?? [];
  expect(Buffer.from(bytes ?? []).includes("12345")).toBe(false);
  expect(options).toEqual({ ttlMs: 60_000 });
});

test("a cache role that fails is left alone for a while, and every question is answered", async () => {
  const { clock, stores } = installation;
  const cache = await stores.cache();
  const get = vi.spyOn(cache, "get").mockRejectedValue(new Error("gone"));
  expect(await count()).toBe(1);
  expect((await installation.custody.find(scope, attempts.name)).records).toHaveLength(1);
  expect(get).toHaveBeenCalledTimes(1);
  clock.nowMs += 10_001;
  await installation.custody.search(scope, attempts.name, { query: "x" });
  expect(get).toHaveBeenCalledTimes(2);
});
