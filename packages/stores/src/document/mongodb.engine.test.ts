import { MongoClient } from "mongodb";
import { describe, expect, test, vi } from "vitest";

import { parseFilter } from "@custody/contract/filter";
import { parseJson } from "@custody/contract/json";

import { makeBatch } from "../record-batch.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer } from "../testing/engine-server.ts";
import type { TestServer } from "../testing/engine-server.ts";
import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentCollection, DocumentFixture } from "./conformance-fixture.ts";
import { describeDocument } from "./conformance.ts";
import { compileFilter } from "./mongodb-filter.ts";
import { openMongodbDocumentStore } from "./mongodb.ts";
import { toStored } from "./mongodb-record.ts";

// FerretDB writes some thousand rows a second, and each test has a database of its own.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const module = new URL("./mongodb.ts", import.meta.url).href;
const ownerSalt = new Uint8Array(32).fill(7);

/** The URL with an installation of its own. */
function installationUrl(url: string, installation: string): string {
  const [, start = "", query = ""] = /^([^?]*?)\/?(\?.*)?$/.exec(url) ?? [];
  return `${start}/${installation}${query}`;
}

let lastInstallation = 0;

async function openFixture(url: string, server: TestServer): Promise<DocumentFixture> {
  lastInstallation += 1;
  const installation = `t${process.pid}-${lastInstallation}`;
  const own = installationUrl(url, installation);
  const openStore = () => openMongodbDocumentStore({ url: own, ownerSalt });
  let store = await openStore();
  const client = new MongoClient(url, { useBigInt64: true });
  const database = client.db(`${installation}_tenant-a`);
  const rows = ({ name, generation }: DocumentCollection) =>
    database.collection<{ _id: string }>(
      generation === 1 ? name.replace("/", ".") : `${name.replace("/", ".")}#${generation}`,
    );
  return {
    store,
    async reopen() {
      await store[Symbol.asyncDispose]();
      return (store = await openStore());
    },
    ...(server === "mongojava" ? { textOrder: "utf-16" } : {}),
    childStore: `(await import("${module}")).openMongodbDocumentStore({ url: ${JSON.stringify(own)} })`,
    tamper: {
      async alter(collection, id, text) {
        await rows(collection).updateOne({ _id: id }, { $set: toStored(text) });
      },
      async remove(collection, id) {
        await rows(collection).deleteOne({ _id: id });
      },
      async add(collection, id, sequence, text) {
        const row = { _id: id, sequence, first: sequence, ...toStored(text), keys: {} };
        await rows(collection).insertOne(row);
      },
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await client.close();
      await dropDatabases(url, installation);
    },
  };
}

async function dropDatabases(url: string, installation: string): Promise<void> {
  await using client = new MongoClient(url);
  const { databases } = await client.db("admin").admin().listDatabases({ nameOnly: true });
  for (const { name } of databases) {
    if (name.startsWith(installation)) await client.db(name).dropDatabase();
  }
}

const PRODUCTS: Readonly<Partial<Record<TestServer, string>>> = {
  mongodb: "MongoDB",
  ferretdb: "FerretDB",
  mongojava: "another server of MongoDB's protocol",
};

/** The suite and what is particular, on a server of MongoDB's protocol. */
function describeServer(server: TestServer): void {
  describeOnServer(server, (url) => {
    describeDocument(server, () => openFixture(url, server));

    describe("document: mongodb only", () => {
      test("the server says what it is", async () => {
        await using store = await openMongodbDocumentStore({ url });
        const { product, version } = await store.health();
        expect(product).toBe(PRODUCTS[server]);
        expect(version).toMatch(/^\d+\.\d+/);
      });

      test("a record lies as a document of its own fields, in a database of its tenant's", async () => {
        await using fixture = await openFixture(url, server);
        const fields = { kind: "x", labels: { "a.b": 1, $c: 2, "7": 3 }, big: 2n ** 70n };
        await fixture.store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 3, fields }));
        await using client = new MongoClient(url);
        const { databases } = await client.db("admin").admin().listDatabases({ nameOnly: true });
        const own = databases.filter(({ name }) =>
          name.endsWith(`t${process.pid}-${lastInstallation}_tenant-a`),
        );
        expect(own).toHaveLength(1);
        const rows = client.db(own[0]?.name).collection("lab.sample");
        expect(await rows.findOne({}, { projection: { keys: 0 } })).toEqual({
          _id: "a",
          sequence: 3,
          first: 3,
          record: { kind: "x", labels: { "a%2Eb": 1, "%24c": 2, "%37": 3 }, big: 2 ** 70 },
          digits: { "/big": String(2n ** 70n) },
        });
      });

      test("new records of a delivery that was cut off are not seen, and are there when it is repeated", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        const first = deliver({ id: "a", sequence: 1, fields: { size: 1 } });
        const second = deliver(
          { id: "b", sequence: 2, fields: { size: 2 } },
          { id: "c", sequence: 2, fields: { size: 3 } },
        );
        await store.apply(TENANT_A, SAMPLES, first);
        // Rows are written, and the process dies before the checkpoint is.
        await using client = new MongoClient(url);
        const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
        const rows = database.collection<{ _id: string }>("lab.sample");
        const row = { sequence: 2, first: 2, ...toStored('{"size":2}'), keys: {} };
        await rows.insertOne({ _id: "b", ...row });
        expect(await idsOf(store, SAMPLES, {})).toEqual(["a"]);
        expect(await store.count(TENANT_A, SAMPLES, parseFilter({}))).toBe(1);
        await store.apply(TENANT_A, SAMPLES, second);
        expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b", "c"]);
      });

      test("a record deleted by one writer is not brought back by an older delivery of another", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        const old = deliver({ id: "a", sequence: 1, fields: { size: 1 } });
        await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 2 }));
        const [batch] = old.batches;
        if (batch === undefined) throw new Error("the delivery has a batch");
        // A writer given up for dead stood at checkpoint 0 when it began.
        await using client = new MongoClient(url);
        const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
        const notes = database.collection<{ _id: string }>("_collections");
        await notes.updateOne({ _id: "lab/sample#1" }, { $set: { checkpoint: 0 } });
        await store.apply(TENANT_A, SAMPLES, old);
        expect(await idsOf(store, SAMPLES, {})).toEqual([]);
        await store.apply(
          TENANT_A,
          SAMPLES,
          deliver({ id: "a", sequence: 3, fields: { size: 3 } }),
        );
        expect(await idsOf(store, SAMPLES, { size: 3 })).toEqual(["a"]);
      });

      test("half of a surrogate pair is refused, as it would become another character", async () => {
        await using fixture = await openFixture(url, server);
        const batch = makeBatch("lab/sample", [{ id: "a", sequence: 1, text: '{"x":"\\ud800"}' }]);
        const applied = fixture.store.apply(TENANT_A, PLAIN, { batches: [batch], checkpoint: 1 });
        await expect(applied).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      });

      test("a wrong address is unavailable, and a wrong name of an installation is refused", async () => {
        const nowhere = "mongodb://127.0.0.1:1/x?timeout=500&connect-timeout=300";
        await using store = await openMongodbDocumentStore({ url: nowhere });
        await expect(store.health()).rejects.toMatchObject({ code: "unavailable" });
        await expect(openMongodbDocumentStore({ url: "mongodb://db/a.b" })).rejects.toMatchObject({
          code: "refused",
        });
      });

      test("sorts of paths with and without an index agree, with whole numbers beyond 2^53", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        const sizes = ["9007199254740993", "9007199254740992", "-1", "1e300", '"text"', "true"];
        const records = sizes.map((size, index) => ({
          id: `${index}`,
          sequence: 1,
          fields: parseJson(`{"size":${size},"other":${size}}`),
        }));
        await store.apply(TENANT_A, SAMPLES, deliver(...records));
        for (const path of ["size", "other"]) {
          const sorted = await idsOf(store, SAMPLES, {}, { sort: [{ path, direction: "asc" }] });
          expect([path, sorted]).toEqual([path, ["2", "1", "0", "3", "4", "5"]]);
        }
      });
    });
  });

  describeNetworkFaults(server, {
    open: (url) => openMongodbDocumentStore({ url: installationUrl(url, "t-network") }),
    prepare: (store, scope) => store.prepare(scope, PLAIN),
    write: (store, number, scope) =>
      store.apply(scope, PLAIN, deliver({ id: `row-${number}`, sequence: number, fields: {} })),
    count: (store, scope) => store.count(scope, PLAIN, parseFilter({})),
    clean: (url) => dropDatabases(url, "t-network"),
  });
}

describeOnServer("mongojava", (url) => {
  test("elements of arrays are asked for as MongoDB is asked, where all of them are objects", async () => {
    await using fixture = await openFixture(url, "mongojava");
    const parts = [
      { name: "p", n: 1 },
      { name: "q", n: 2 },
    ];
    const records = [
      { id: "a", sequence: 1, fields: { parts } },
      { id: "b", sequence: 1, fields: { parts: [{ name: "p", n: 2 }, { n: 5 }] } },
      { id: "c", sequence: 1, fields: { parts: [[{ n: 9 }]] } },
    ];
    await fixture.store.apply(TENANT_A, PLAIN, deliver(...records));
    await using client = new MongoClient(url);
    const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
    const rows = database.collection<{ _id: string }>("lab.sample#2");
    const ids = async (filter: unknown): Promise<readonly string[]> => {
      const { query, isExact } = compileFilter(parseFilter(filter), { hasElemMatch: true });
      expect(isExact).toBe(true);
      return (await rows.find(query as object, { sort: { _id: 1 } }).toArray()).map(
        ({ _id }) => _id,
      );
    };
    expect(await ids({ parts: { $elemMatch: { name: "p", n: 1 } } })).toEqual(["a"]);
    expect(await ids({ parts: { $elemMatch: { n: { $gt: 1 } } } })).toEqual(["a", "b"]);
    expect(await ids({ parts: { $elemMatch: { name: { $exists: false } } } })).toEqual(["b"]);
    expect(await ids({ parts: { $not: { $elemMatch: { n: 2 } } } })).toEqual(["c"]);
  });
});

describeServer("mongodb");
describeServer("ferretdb");
describeServer("mongojava");
