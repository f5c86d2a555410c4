import { afterEach, beforeEach, expect, test } from "vitest";

import type { ProjectedStore } from "@custody/stores/projected-store";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { note, notes, ownedPack } from "../testing/owned-types.ts";

/** Deliveries to owners' files: the collection, whose file, and up to where. */
let seen: string[];
let installation: Installation;
beforeEach(async () => {
  seen = [];
  installation = await openInstallation({ packs: [ownedPack], wrapStores: watched });
});
afterEach(() => installation[Symbol.asyncDispose]());

function watched(stores: Stores): Stores {
  return {
    ...stores,
    projected: async (role) => {
      const store = await stores.projected(role);
      const real: ProjectedStore<unknown> = store;
      const apply: ProjectedStore<unknown>["apply"] = async (where, collection, delivery) => {
        const { name, generation } = collection;
        if (where.owner !== undefined && generation === 2)
          seen.push(`${role} ${name} ${where.owner} ${delivery.checkpoint}`);
        await real.apply(where, collection, delivery);
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

async function put(...fields: readonly Record<string, unknown>[]): Promise<void> {
  await installation.custody.commit(scope, [
    { type: notes.name, put: fields.map((one) => ({ fields: one })) },
  ]);
}

test("an owner who had a record only meanwhile is told that it came, and that it went", async () => {
  await put(note("r", "ana"), note("s", "ana"));
  await put(note("s", "ana", { weight: 2 }));
  await put(note("r", "ben"));
  await installation.custody.rebuild(scope, ["document"]);
  expect(seen).toEqual([
    "document sample/notes ana 2",
    "document sample/notes ana 3",
    "document sample/notes ben 3",
  ]);
});

test("a count of an owner's records is told of every version of each", async () => {
  await put(note("r", "ana"));
  await put(note("s", "ana"));
  await put(note("r", "ana", { weight: 2 }));
  await installation.custody.rebuild(scope, ["relational"]);
  expect(seen.filter((one) => one.includes("notes_by_topic"))).toEqual([
    "relational sample/notes_by_topic ana 2",
    "relational sample/notes_by_topic ana 3",
  ]);
});
