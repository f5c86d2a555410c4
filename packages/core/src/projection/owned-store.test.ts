import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import type { ProjectedStore } from "@custody/stores/projected-store";
import { makeBatch } from "@custody/stores/record-batch";
import type { Scope } from "@custody/stores/scope";

import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { note, notes, ownedPack } from "../testing/owned-types.ts";
import { attempt } from "../testing/sample-types.ts";

const packs = [ownedPack];
const ana: Scope = { ...scope, owner: "ana" };
const ben: Scope = { ...scope, owner: "ben" };
const DAY = {
  from: Date.parse("2026-03-04T00:00:00Z"),
  to: Date.parse("2026-03-05T00:00:00Z"),
  bucketMs: 86_400_000,
};
const OWNED_ROLES = ["document", "search", "relational", "series", "analytics"] as const;

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation({ packs });
});
afterEach(() => installation[Symbol.asyncDispose]());

async function put(...fields: readonly Record<string, unknown>[]): Promise<void> {
  await installation.custody.commit(scope, [
    { type: notes.name, put: fields.map((one) => ({ fields: one })) },
  ]);
}

/** What every role tells of an owner: ids, hits, points, table rows, groups, columns and SQL. */
async function tell(of: Scope): Promise<Record<string, unknown>> {
  const { custody } = installation;
  const page = await custody.find(of, notes.name, { sort: [{ path: "id", direction: "asc" }] });
  const hits = await custody.search(of, notes.name, { query: "milk" });
  const series = await custody.series(of, notes.name, {
    ...DAY,
    measurement: "notes",
    values: { n: { field: "weight", fn: "count" } },
  });
  const table = await custody.table(of, notes.name, { limit: 10 });
  const summary = await custody.table(of, "sample/notes_by_topic", { limit: 10 });
  const groups = await custody.aggregate(of, notes.name, {
    groupBy: ["topic"],
    measures: { n: { fn: "count" } },
    limit: 10,
  });
  return {
    documents: page.records.map(({ id }) => id),
    count: (await custody.count(of, notes.name)).count,
    hits: hits.hits.map(({ id }) => id).sort(),
    points: series.rows.map(({ values }) => values["n"]).filter((n) => n !== null && n !== 0),
    weights: table.rows.map((row) => row["weight"]),
    summary: summary.rows.map((row) => [row["topic"], Number(row["notes"])]),
    groups: groups.rows.map((row) => [row["topic"], Number(row["n"])]),
  };
}

const NOTHING = {
  documents: [],
  count: 0,
  hits: [],
  points: [],
  weights: [],
  summary: [],
  groups: [],
};

async function differences(): Promise<Record<string, number>> {
  const report = await installation.custody.reconcile(scope);
  return Object.fromEntries(
    report.projections
      .filter((one) => one.differences > 0)
      .map((one) => [`${one.role} ${one.name}`, one.differences]),
  );
}

describe("what is kept per owner", () => {
  beforeEach(async () => {
    await put(note("a1", "ana"), note("b1", "ben", { weight: 5, topic: "home" }));
    await put(note("a2", "ana", { weight: 2 }));
  });

  test("is answered to that owner alone, in every role", async () => {
    expect(await tell(ana)).toEqual({
      documents: ["a1", "a2"],
      count: 2,
      hits: ["a1", "a2"],
      points: [2],
      weights: [1, 2],
      summary: [["work", 2]],
      groups: [["work", 2]],
    });
    expect(await tell(ben)).toEqual({
      documents: ["b1"],
      count: 1,
      hits: ["b1"],
      points: [1],
      weights: [5],
      summary: [["home", 1]],
      groups: [["home", 1]],
    });
  });

  test("is nothing for an owner of whom nothing is held, and asking makes no file", async () => {
    await installation.custody.catchUp(scope);
    const owners = join(installation.directory, "tenants", "acme", "owners");
    const before = readdirSync(owners);
    expect(await tell({ ...scope, owner: "zoe" })).toEqual(NOTHING);
    expect(readdirSync(owners)).toEqual(before);
  });

  test("is not answered where no owner is named", async () => {
    const { custody } = installation;
    const refused = { name: "CoreError", code: "usage", message: expect.stringMatching(/--owner/) };
    await expect(custody.find(scope, notes.name)).rejects.toMatchObject(refused);
    await expect(custody.count(scope, notes.name)).rejects.toMatchObject(refused);
    await expect(custody.search(scope, notes.name, { query: "milk" })).rejects.toMatchObject(
      refused,
    );
    const points = { ...DAY, measurement: "notes", values: {} };
    await expect(custody.series(scope, notes.name, points)).rejects.toMatchObject(refused);
    await expect(
      custody.aggregate(scope, notes.name, { groupBy: [], measures: {}, limit: 1 }),
    ).rejects.toMatchObject(refused);
    await expect(custody.table(scope, notes.name, { limit: 1 })).rejects.toMatchObject(refused);
    await expect(custody.table(scope, "sample/notes_by_topic", { limit: 1 })).rejects.toMatchObject(
      refused,
    );
  });

  test("is queried by SQL in the owner's file, where what is not kept per owner is not", async () => {
    const { custody } = installation;
    const count = "SELECT count(*) FROM sample.notes";
    expect(Number((await custody.sql(ana, count)).rows[0]?.[0])).toBe(2);
    expect(Number((await custody.sql(ben, count)).rows[0]?.[0])).toBe(1);
    await expect(custody.sql(scope, count)).rejects.toMatchObject({ name: "StoreError" });
    await expect(custody.sql(ana, "SELECT 1 FROM sample.assets")).rejects.toMatchObject({
      name: "StoreError",
    });
    await expect(custody.sql({ ...scope, owner: "zoe" }, count)).rejects.toMatchObject({
      code: "not-found",
    });
  });

  test("is got, traced and proved by its owner, and by whoever names none", async () => {
    const { custody } = installation;
    expect(await custody.get(ana, notes.name, "a1")).toMatchObject({ id: "a1" });
    expect(await custody.get(ben, notes.name, "a1")).toBeUndefined();
    expect(await custody.get(scope, notes.name, "a1")).toMatchObject({ id: "a1" });
    await expect(custody.trace(ben, notes.name, "a1")).rejects.toMatchObject({ code: "not-found" });
    await expect(custody.proof(ben, notes.name, "a1")).rejects.toMatchObject({ code: "not-found" });
    await custody.catchUp(scope);
    const { projections } = await custody.trace(ana, notes.name, "a1");
    expect(
      Object.fromEntries(projections.map(({ role, name, state }) => [`${role} ${name}`, state])),
    ).toEqual({
      "document sample/notes": "present",
      "search sample/notes": "present",
      "relational sample/notes": "present",
      "relational sample/notes_by_topic": "counted",
      "series sample/notes": "present",
      "analytics sample/notes": "present",
    });
  });

  test("leaves what is not kept per owner as it is, whether an owner is named or not", async () => {
    const { custody } = installation;
    await custody.commit(ana, [{ type: "sample/attempts", put: [{ fields: attempt("x1") }] }]);
    expect((await custody.find(ben, "sample/attempts")).records.map(({ id }) => id)).toEqual([
      "x1",
    ]);
    expect((await custody.status(ana)).roles.document.records).toBeGreaterThan(3);
    expect((await custody.events.read(ana, "sample.attempts")).map(({ key }) => key)).toEqual([
      "x1",
    ]);
  });

  test("moves with a record that gets another owner, in every role", async () => {
    await installation.custody.catchUp(scope);
    await put(note("a1", "ben", { weight: 7 }));
    expect(await tell(ana)).toEqual({
      documents: ["a2"],
      count: 1,
      hits: ["a2"],
      points: [1],
      weights: [2],
      summary: [["work", 1]],
      groups: [["work", 1]],
    });
    expect(await tell(ben)).toMatchObject({
      documents: ["a1", "b1"],
      hits: ["a1", "b1"],
      summary: [
        ["home", 1],
        ["work", 1],
      ],
    });
    expect(await differences()).toEqual({});
  });

  test("goes when it is deleted, in every role", async () => {
    const { custody } = installation;
    await custody.catchUp(scope);
    await custody.commit(scope, [{ type: notes.name, delete: ["a1", "b1"] }]);
    expect(await tell(ana)).toMatchObject({
      documents: ["a2"],
      points: [1],
      summary: [["work", 1]],
    });
    expect(await tell(ben)).toEqual(NOTHING);
    expect(await differences()).toEqual({});
  });

  test("answers as before when it is built anew, and the old files are emptied", async () => {
    const { custody, stores } = installation;
    const before = [await tell(ana), await tell(ben)];
    await custody.rebuild(scope, OWNED_ROLES);
    expect([await tell(ana), await tell(ben)]).toEqual(before);
    expect(await differences()).toEqual({});
    const documents = await stores.projected("document");
    const { collections } = await documents.statistics(ana);
    expect(collections).toEqual([{ name: notes.name, generation: 2, records: 2 }]);
    expect((await custody.status(scope)).roles.document.projections).toContainEqual(
      expect.objectContaining({ name: notes.name, generation: 2, records: 3, lag: 0 }),
    );
  });

  test("is found again after the installation was closed", async () => {
    const before = [await tell(ana), await tell(ben)];
    installation = await installation.reopen({ packs });
    expect([await tell(ana), await tell(ben)]).toEqual(before);
    expect(await differences()).toEqual({});
  });
});

describe("owners' names", () => {
  test("are in no file name and in no table, and each file is named by 64 hex digits", async () => {
    const name = "Anastasia-Unmistakable";
    await put(note("a1", name), note("b1", "ben"));
    await installation.custody.catchUp(scope);
    const { directory } = installation;
    const paths = readdirSync(directory, { recursive: true }).map(String);
    expect(paths.filter((path) => path.includes(name))).toEqual([]);
    const owners = readdirSync(join(directory, "tenants", "acme", "owners"));
    expect(owners).toHaveLength(2);
    expect(owners.filter((file) => !/^[0-9a-f]{64}$/.test(file))).toEqual([]);
    await installation.custody[Symbol.asyncDispose]();
    const journal = readdirSync(directory)
      .filter((path) => path.startsWith("journal.sqlite"))
      .map((path) => readFileSync(join(directory, path)).toString("latin1"));
    expect(journal.some((bytes) => bytes.includes("owners/document/sample/notes/1/"))).toBe(true);
    expect(journal.filter((bytes) => bytes.includes(name))).toEqual([]);
  });

  test("of another installation make other files", async () => {
    await using other = await openInstallation({ packs });
    const names = async ({ custody, directory }: Installation): Promise<readonly string[]> => {
      await custody.commit(scope, [{ type: notes.name, put: [{ fields: note("a1", "ana") }] }]);
      await custody.catchUp(scope);
      return readdirSync(join(directory, "tenants", "acme", "owners"));
    };
    expect(await names(other)).not.toEqual(await names(installation));
  });

  test("may be any text that names one owner, and nothing else", async () => {
    const strange = ["../../up", "a/b\\c", "😀 ü", "'; DROP TABLE owners --", "x".repeat(512)];
    await put(...strange.map((owner, index) => note(`n${index}`, owner)));
    for (const [index, owner] of strange.entries()) {
      const page = await installation.custody.find({ ...scope, owner }, notes.name);
      expect(page.records.map(({ id }) => id)).toEqual([`n${index}`]);
    }
    for (const owner of ["", "a\0b", "\ud800", "x".repeat(513)]) {
      await expect(put(note("bad", owner))).rejects.toMatchObject({ code: "invalid" });
      await expect(
        installation.custody.find({ ...scope, owner }, notes.name),
      ).rejects.toMatchObject({ code: "usage" });
    }
  });
});

describe("a commit for one owner", () => {
  test("takes that owner's records and refuses another's", async () => {
    const { custody } = installation;
    const commit = (of: Scope, fields: unknown): Promise<unknown> =>
      custody.commit(of, [{ type: notes.name, put: [{ fields }] }]);
    await commit(ana, note("a1", "ana"));
    await expect(commit(ana, note("b1", "ben"))).rejects.toMatchObject({ code: "conflict" });
    await expect(commit(ben, note("a1", "ben"))).rejects.toMatchObject({ code: "conflict" });
    await expect(custody.commit(ben, [{ type: notes.name, delete: ["a1"] }])).rejects.toMatchObject(
      { code: "conflict" },
    );
    await custody.commit(ana, [{ type: notes.name, delete: ["a1"] }]);
    expect(await custody.get(scope, notes.name, "a1")).toBeUndefined();
  });
});

describe("reconciliation", () => {
  const collection = {
    name: notes.name,
    generation: 1,
    placements: { [notes.name]: notes.placements.document ?? {} },
  };

  test("finds every hidden change in owners' files, rows in a wrong file too, and repairs them", async () => {
    const all = Array.from({ length: 40 }, (_, index) =>
      note(`n${index}`, ["ana", "ben", "cleo"][index % 3] ?? ""),
    );
    for (let from = 0; from < 40; from += 10) await put(...all.slice(from, from + 10));
    const { custody, stores } = installation;
    await custody.catchUp(scope);
    expect(await differences()).toEqual({});
    const documents = await stores.projected("document");
    const text = (index: number, changes: object = {}): string =>
      JSON.stringify({ ...all[index], ...changes });
    const hide = (of: Scope, ...rows: { id: string; sequence: number; text?: string }[]) =>
      documents.repair(of, collection, makeBatch(notes.name, rows));
    // n0 is lost, n1 altered, n2 moved to another owner as it is, n3 copied, one invented for nobody.
    await hide(ana, { id: "n0", sequence: 1 });
    await hide(ben, { id: "n1", sequence: 1, text: text(1, { weight: 9 }) });
    await hide({ ...scope, owner: "cleo" }, { id: "n2", sequence: 1 });
    await hide(ana, { id: "n2", sequence: 1, text: text(2) });
    await hide(ben, { id: "n3", sequence: 1, text: text(3) });
    await hide(scope, { id: "ghost", sequence: 2, text: text(12, { id: "ghost" }) });
    expect(await differences()).toEqual({ "document sample/notes": 5 });
    const repaired = await custody.reconcile(scope, { roles: ["document"], repair: true });
    expect(repaired.ok).toBe(true);
    expect(await differences()).toEqual({});
    expect((await custody.find(ana, notes.name, { limit: 100 })).records).toHaveLength(14);
    expect((await custody.find(ben, notes.name, { limit: 100 })).records).toHaveLength(13);
  });
});

describe("a delivery that was cut off between owners", () => {
  /** The same stores, of which one role fails once so many owners of a collection were written to. */
  function cutting(role: string, state: { ownersMax: number }): (stores: Stores) => Stores {
    const written = new Map<string, number>();
    return (stores) => ({
      ...stores,
      projected: async (wanted) => {
        const store = await stores.projected(wanted);
        if (wanted !== role) return store;
        const real: ProjectedStore<unknown> = store;
        const apply: ProjectedStore<unknown>["apply"] = async (where, collection, delivery) => {
          const count = written.get(collection.name) ?? 0;
          if (where.owner !== undefined) {
            if (count >= state.ownersMax) throw new StoreError("corrupt", "cut off by the test");
            if (Number.isFinite(state.ownersMax)) written.set(collection.name, count + 1);
          }
          await real.apply(where, collection, delivery);
        };
        return new Proxy(store, {
          get: (target, name) => {
            const value: unknown = name === "apply" ? apply : Reflect.get(target, name);
            return value;
          },
        });
      },
    });
  }

  for (const role of ["document", "relational"] as const) {
    test(`leaves nothing twice, and nothing with an owner who had it only meanwhile: ${role}`, async () => {
      const state = { ownersMax: Infinity };
      await installation[Symbol.asyncDispose]();
      installation = await openInstallation({ packs, wrapStores: cutting(role, state) });
      await put(note("r", "ana"), note("s", "ben"), note("t", "ana"));
      await installation.custody.catchUp(scope);
      // The next delivery reaches one of three owners and is cut off; then the journal goes on.
      state.ownersMax = 1;
      await put(note("r", "ben"), note("s", "ana"), note("u", "ana"), note("v", "cleo"));
      await expect(installation.custody.catchUp(scope)).rejects.toMatchObject({ code: "failed" });
      installation = await installation.reopen({ packs });
      await put(note("r", "cleo"), note("u", "ben"), note("t", "cleo"));
      expect(await tell(ana)).toMatchObject({ documents: ["s"], summary: [["work", 1]] });
      expect(await tell(ben)).toMatchObject({ documents: ["u"], summary: [["work", 1]] });
      expect(await tell({ ...scope, owner: "cleo" })).toMatchObject({
        documents: ["r", "t", "v"],
        summary: [["work", 3]],
      });
      expect(await differences()).toEqual({});
    });
  }

  test("changes nothing when it is delivered again", async () => {
    await put(note("a1", "ana"), note("b1", "ben"));
    const { custody, stores } = installation;
    await custody.catchUp(scope);
    const real = await stores.projected("relational");
    const before = [await tell(ana), await tell(ben)];
    const collection = {
      name: notes.name,
      generation: 1,
      placements: { [notes.name]: { table: notes.placements.relational } },
    } as never;
    const batch = makeBatch(notes.name, [
      { id: "a1", sequence: 1, text: JSON.stringify(note("a1", "ana", { weight: 99 })) },
    ]);
    await real.apply(ana, collection, { batches: [batch], checkpoint: 1 });
    expect([await tell(ana), await tell(ben)]).toEqual(before);
  });
});

describe("a type that becomes one kept per owner", () => {
  test("is built anew in owners' files, and the file of all owners is emptied", async () => {
    const { scope: _, owner: __, ...shared } = notes;
    const before = [{ ...ownedPack, types: [shared, ...ownedPack.types.slice(1)] }];
    installation = await installation.reopen({ packs: before });
    await put(note("a1", "ana"), note("b1", "ben"));
    expect((await installation.custody.find(scope, notes.name)).records).toHaveLength(2);
    installation = await installation.reopen({ packs });
    expect((await tell(ana))["documents"]).toEqual(["a1"]);
    expect((await tell(ben))["documents"]).toEqual(["b1"]);
    const documents = await installation.stores.projected("document");
    const { collections } = await documents.statistics(scope);
    expect(collections.filter(({ name, records }) => name === notes.name && records > 0)).toEqual(
      [],
    );
    expect(await differences()).toEqual({});
  });
});
