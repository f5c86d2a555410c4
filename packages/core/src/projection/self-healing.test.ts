import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { note, notes, ownedPack } from "../testing/owned-types.ts";
import { attempt } from "../testing/sample-types.ts";

const ana: Scope = { ...scope, owner: "ana" };
const ben: Scope = { ...scope, owner: "ben" };

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation({ packs: [ownedPack] });
});
afterEach(() => installation[Symbol.asyncDispose]());

async function put(...fields: readonly Record<string, unknown>[]): Promise<void> {
  await installation.custody.commit(scope, [
    { type: notes.name, put: fields.map((one) => ({ fields: one })) },
  ]);
}

/** The files of that name of all owners. */
function ownersFiles(name: string): readonly string[] {
  const directory = join(installation.directory, "tenants", scope.tenant, "owners");
  return readdirSync(directory).flatMap((owner) =>
    readdirSync(join(directory, owner))
      .filter((file) => file.startsWith(name))
      .map((file) => join(directory, owner, file)),
  );
}

function spoil(path: string): void {
  writeFileSync(path, Buffer.alloc(statSync(path).size, 0xa5));
}

async function idsOf(of: Scope): Promise<readonly string[]> {
  const { records } = await installation.custody.find(of, notes.name, {
    sort: [{ path: "id", direction: "asc" }],
  });
  return records.map(({ id }) => id);
}

test("an owner's damaged file is filled again, with what every owner had, and the old builds go", async () => {
  await put(note("a1", "ana"), note("b1", "ben"), note("a2", "ana"));
  await installation.custody.catchUp(scope);
  installation = await installation.reopen({ packs: [ownedPack] });
  const [first = ""] = ownersFiles("document.sqlite").filter((path) => path.endsWith(".sqlite"));
  spoil(first);
  await put(note("a3", "ana"), note("b2", "ben"));
  await installation.custody.catchUp(scope);
  expect(await idsOf(ana)).toEqual(["a1", "a2", "a3"]);
  expect(await idsOf(ben)).toEqual(["b1", "b2"]);
  expect(await installation.custody.reconcile(scope)).toMatchObject({ ok: true });
  const asides = ownersFiles("document.sqlite").filter((path) => path.includes(".set-aside-"));
  expect(asides).toHaveLength(1);
  const journal = await installation.stores.journal();
  const state = await journal.state(scope, `projection/document/${notes.name}`);
  expect(JSON.parse(state ?? "{}")).toMatchObject({ active: { generation: 2 } });
  expect(state).not.toContain("obsolete");
});

test("damage that the engine does not confirm sets nothing aside", async () => {
  installation = await installation.reopen({
    wrapStores: (stores) => failing(stores, () => new StoreError("corrupt", "says the test")),
  });
  const { custody } = installation;
  await custody.commit(scope, [{ type: "sample/attempts", put: [{ fields: attempt("x1") }] }]);
  await expect(custody.find(scope, "sample/attempts")).rejects.toMatchObject({ code: "corrupt" });
  const names = readdirSync(join(installation.directory, "tenants", scope.tenant));
  expect(names.filter((name) => name.includes(".set-aside-"))).toEqual([]);
});

/** The same stores, of which the document store finds nothing. */
function failing(stores: Stores, failure: () => StoreError): Stores {
  return {
    ...stores,
    projected: async (role) => {
      const store = await stores.projected(role);
      if (role !== "document") return store;
      return new Proxy(store, {
        get: (target, name) => {
          const fail = (): Promise<never> => Promise.reject(failure());
          const value: unknown = name === "find" ? fail : Reflect.get(target, name);
          return value;
        },
      });
    },
  };
}
