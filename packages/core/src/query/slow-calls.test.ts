import { afterEach, beforeEach, expect, test } from "vitest";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt, attempts } from "../testing/sample-types.ts";

let installation: Installation;
/** Milliseconds that the installation's clock goes on in each call of the document store. */
let tookMs = 0;

/** Real stores, of which the one of documents takes its time. */
function delayed(stores: Stores): Stores {
  const projected: Stores["projected"] = async (role) => {
    const store = await stores.projected(role);
    if (role !== "document") return store;
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return async (...args: readonly unknown[]) => {
          installation.clock.nowMs += tookMs;
          return (await Reflect.apply(member, target, args)) as unknown;
        };
      },
    });
  };
  return { ...stores, projected };
}

beforeEach(async () => {
  tookMs = 0;
  installation = await openInstallation({ wrapStores: delayed, settings: { slowMs: 100 } });
  await installation.custody.commit(scope, [
    { type: attempts.name, put: [{ fields: attempt("a1", { model: "aurora" }) }] },
  ]);
  await installation.custody.catchUp(scope);
});
afterEach(() => installation[Symbol.asyncDispose]());

test("a slow read is remembered with its store and shape, and without its values", async () => {
  tookMs = 100;
  const { custody, clock } = installation;
  await custody.find(scope, attempts.name, { filter: { model: "aurora" }, limit: 5 });
  expect(await custody.slowCalls(scope)).toEqual([
    {
      at: clock.nowMs,
      role: "document",
      engine: "sqlite",
      operation: "find",
      collection: attempts.name,
      tookMs: 100,
      shape: '[{"filter":{"op":"eq","path":"model","value":"<string>"},"limit":5}]',
    },
  ]);
});

test("a read that is quick enough is not remembered", async () => {
  tookMs = 99;
  await installation.custody.find(scope, attempts.name);
  expect(await installation.custody.slowCalls(scope)).toEqual([]);
});

test("a slow read that failed is remembered with the reason", async () => {
  tookMs = 100;
  const { custody } = installation;
  await expect(custody.find(scope, attempts.name, { cursor: "not one" })).rejects.toThrow();
  expect(await custody.slowCalls(scope)).toMatchObject([{ operation: "find", failed: "refused" }]);
});

test("the newest two hundred are kept, over a restart too", async () => {
  tookMs = 100;
  for (let limit = 1; limit <= 203; limit += 1) {
    await installation.custody.find(scope, attempts.name, { limit });
    if (limit === 150)
      installation = await installation.reopen({ wrapStores: delayed, settings: { slowMs: 100 } });
  }
  const calls = await installation.custody.slowCalls(scope);
  expect(calls).toHaveLength(200);
  expect(calls[0]?.shape).toContain('"limit":203');
  expect(calls.at(-1)?.shape).toContain('"limit":4');
});
