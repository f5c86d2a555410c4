import { setImmediate } from "node:timers/promises";

import fc from "fast-check";
import { MongoClient } from "mongodb";
import { describe, expect, test, vi } from "vitest";

import { parseFilter } from "@custody/contract/filter";
import { parseJson } from "@custody/contract/json";

import { databaseName } from "../drivers/mongodb.ts";
import { StoreError } from "../errors.ts";
import { makeBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, testServerUrl } from "../testing/engine-server.ts";
import type { TestServer } from "../testing/engine-server.ts";
import { proxyRoute, throughProxy } from "../testing/proxied-url.ts";
import { scopeFor } from "../testing/scope.ts";
import { openToxiproxyProxy } from "../testing/toxiproxy.ts";
import type { Toxic } from "../testing/toxiproxy.ts";
import { arbitraryFields, arbitraryFilter, arbitrarySort } from "./conformance-arbitraries.ts";
import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentCollection, DocumentFixture } from "./conformance-fixture.ts";
import { describeDocument } from "./conformance.ts";
import { FirstRows } from "./first-rows.ts";
import { compileFilter } from "./mongodb-filter.ts";
import { openMongodbDocumentStore } from "./mongodb.ts";
import { toStored } from "./mongodb-record.ts";
import { meetsFilter, pathNames } from "./path-values.ts";
import type { DocumentStore } from "./port.ts";
import { sortKeys } from "./sort-key.ts";

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

interface MongodbFixture extends DocumentFixture {
  /** With the installation's name. */
  readonly url: string;
  /** A store of another process on the same data. */
  another(): Promise<DocumentStore>;
  /** Waits until so many rows of the tenant's collection lie there, seen or not, or all are written. */
  untilRows(collection: DocumentCollection, count: number): Promise<void>;
  collectionNames(): Promise<readonly string[]>;
}

async function openFixture(url: string, server: TestServer, options = ""): Promise<MongodbFixture> {
  lastInstallation += 1;
  const installation = `t${process.pid}-${lastInstallation}`;
  const own = `${installationUrl(url, installation)}${options}`.replace(/^([^?]*)&/, "$1?");
  const openStore = () => openMongodbDocumentStore({ url: own, ownerSalt });
  let store = await openStore();
  const client = new MongoClient(url, { useBigInt64: true });
  const database = client.db(`${installation}_tenant-a`);
  const rows = ({ name, generation }: DocumentCollection) =>
    database.collection<{ _id: string }>(
      generation === 1 ? name.replace("/", ".") : `${name.replace("/", ".")}#${generation}`,
    );
  const others: DocumentStore[] = [];
  return {
    store,
    url: own,
    async another() {
      const other = await openStore();
      others.push(other);
      return other;
    },
    async untilRows(collection, count) {
      for (const until = Date.now() + 5_000; Date.now() < until; await setImmediate()) {
        if ((await rows(collection).countDocuments({})) >= count) return;
      }
    },
    async collectionNames() {
      const found = await database.listCollections({}, { nameOnly: true }).toArray();
      return found.map(({ name }) => name).toSorted();
    },
    async reopen() {
      await store[Symbol.asyncDispose]();
      return (store = await openStore());
    },
    ...(server === "mongojava" ? { textOrder: "utf-16" } : {}),
    ...(server === "ferretdb" ? { changedRows: 200 } : {}),
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
      for (const one of [store, ...others]) await one[Symbol.asyncDispose]();
      await client.close();
      await dropDatabases(url, installation);
    },
  };
}

/** The scopes that tests write for; FerretDB does not list databases while one is locked. */
const SCOPES: readonly Scope[] = [
  TENANT_A,
  scopeFor("tenant-b"),
  scopeFor("tenant-a", "ana"),
  scopeFor("tenant-a", "../../../ana'; DROP TABLE x; --"),
  scopeFor("tenant-b", "ana"),
];

async function dropDatabases(url: string, installation: string): Promise<void> {
  await using client = new MongoClient(url);
  for (const scope of SCOPES) {
    await client.db(databaseName(installation, scope, ownerSalt)).dropDatabase();
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
        const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
        const rows = database.collection("lab.sample");
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

      test("deleted rows, and changes of a delivery that was cut off, are counted as they are seen", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        const records = ["a", "b", "c"].map((id) => ({ id, sequence: 1, fields: { size: 1 } }));
        await store.apply(TENANT_A, SAMPLES, deliver(...records));
        await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 2 }));
        await using client = new MongoClient(url);
        const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
        const rows = database.collection<{ _id: string }>("lab.sample");
        // A delivery up to 3 changes `b` and brings `d`, and is cut off before its checkpoint.
        await rows.updateOne({ _id: "b" }, { $set: { sequence: 3, ...toStored('{"size":3}') } });
        const added = { sequence: 3, first: 3, ...toStored("{}"), keys: {} };
        await rows.insertOne({ _id: "d", ...added });
        const { collections } = await store.statistics(TENANT_A);
        expect(collections).toEqual([{ name: "lab/sample", generation: 1, records: 2 }]);
        expect(await store.count(TENANT_A, SAMPLES, parseFilter({}))).toBe(2);
        expect(await idsOf(store, SAMPLES, {})).toEqual(["b", "c"]);
      });

      test("a document that is too large as BSON is over the limit, and nothing is written", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        // Four megabytes of JSON, and more than sixteen of BSON, whose arrays have a name for each element.
        const text = `{"x":[${"1,".repeat(2_000_000)}1]}`;
        const batch = makeBatch("lab/sample", [
          { id: "a", sequence: 1, text: "{}" },
          { id: "b", sequence: 1, text },
        ]);
        const applied = store.apply(TENANT_A, PLAIN, { batches: [batch], checkpoint: 1 });
        await expect(applied).rejects.toMatchObject({ name: "StoreError", code: "limit" });
        expect(await store.checkpoint(TENANT_A, PLAIN)).toBe(0);
        expect(await idsOf(store, PLAIN, {})).toEqual([]);
      });

      test("arrays in members named like those of every object come back", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        const text = '{"constructor":[{"a":1}],"valueOf":[[2]],"__proto__":[{}]}';
        const batch = makeBatch("lab/sample", [{ id: "a", sequence: 1, text }]);
        await store.apply(TENANT_A, PLAIN, { batches: [batch], checkpoint: 1 });
        const page = await store.find(TENANT_A, PLAIN, { filter: parseFilter({}), limit: 1 });
        expect(page.documents).toEqual([{ id: "a", sequence: 1, text }]);
        expect(await idsOf(store, PLAIN, { "constructor.a": 1 })).toEqual(["a"]);
      });

      test("a collection made anew after it was discarded has none of its earlier rows", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        await store.apply(TENANT_A, PLAIN, deliver({ id: "a", sequence: 1, fields: {} }));
        await store.discard(TENANT_A, PLAIN);
        // A writer given up for dead writes once more.
        await using client = new MongoClient(url);
        const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
        const rows = database.collection<{ _id: string }>("lab.sample#2");
        const late = { sequence: 1, first: 1, ...toStored("{}"), keys: {} };
        await rows.insertOne({ _id: "late", ...late });
        await store.apply(TENANT_A, PLAIN, deliver({ id: "b", sequence: 2, fields: {} }));
        expect(await idsOf(store, PLAIN, {})).toEqual(["b"]);
        await store.settle(TENANT_A);
        expect(await fixture.collectionNames()).toEqual(["_collections", "lab.sample#2~2"]);
        expect(await idsOf(store, PLAIN, {})).toEqual(["b"]);
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

      test("random filters find on the server what they find here, and orders are the same", async () => {
        await using fixture = await openFixture(url, server);
        const { store } = fixture;
        const placements = { "lab/sample": { indexes: [["a"], ["b.c"], ["a", "c"]] } };
        const collection = { ...SAMPLES, placements };
        await fc.assert(
          fc.asyncProperty(
            fc.array(arbitraryFields, { minLength: 12, maxLength: 16 }),
            fc.array(arbitraryFilter, { minLength: 12, maxLength: 16 }),
            arbitrarySort,
            async (documents, filters, sort) => {
              const records = documents.map((fields, index) => ({
                id: String(index).padStart(2, "0"),
                sequence: 1,
                fields,
              }));
              await store.discard(TENANT_A, collection);
              await store.apply(TENANT_A, collection, deliver(...records));
              for (const filter of filters) {
                const page = await store.find(TENANT_A, collection, { filter, limit: 100 });
                const met = records.filter(({ fields }) => meetsFilter(fields, filter));
                expect(page.documents.map(({ id }) => id)).toEqual(met.map(({ id }) => id));
                expect(await store.count(TENANT_A, collection, filter)).toBe(met.length);
              }
              const indexed = [{ path: "a", direction: sort[0]?.direction ?? "asc" }] as const;
              for (const order of server === "mongojava" ? [] : [sort, indexed]) {
                const first = new FirstRows(10, order);
                for (const { id, fields } of records) {
                  const keys = order.map(
                    ({ path, direction }) => sortKeys(fields, pathNames(path))[direction],
                  );
                  first.add({ id, keys });
                }
                const sorted = await idsOf(store, collection, {}, { sort: order, limit: 10 });
                expect(sorted).toEqual(first.rows().map(({ id }) => id));
              }
            },
          ),
          { numRuns: 10 },
        );
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

/** That a digest is bounded by its answers, and not as a whole. */
function describeStreams(server: TestServer): void {
  const api = testServerUrl("toxiproxy");
  describeOnServer(server, (url) => {
    describe.skipIf(api === undefined)("document: mongodb digests through a network", () => {
      const slowly = async (
        toxic: Toxic,
        timeout: string,
        digest: (store: DocumentStore) => Promise<void>,
      ): Promise<void> => {
        await using fixture = await openFixture(url, server);
        const records = Array.from({ length: 1_800 }, (_, index) => ({
          id: `id-${index}`,
          sequence: 1,
          fields: {},
        }));
        await fixture.store.apply(TENANT_A, PLAIN, deliver(...records));
        await using proxy = await openToxiproxyProxy(api ?? "", proxyRoute(url, undefined));
        const through = throughProxy(fixture.url, proxy.port, { timeout });
        await using store = await openMongodbDocumentStore({ url: through });
        await store.checkpoint(TENANT_A, PLAIN);
        await using _hurt = await proxy.add("downstream", toxic);
        await digest(store);
      };

      test("takes as long as it needs while each answer comes in time", async () => {
        await slowly({ type: "latency", latency: 200 }, "900", async (store) => {
          const startedAt = Date.now();
          const digests = await store.digest(TENANT_A, PLAIN, 10);
          expect(digests.map(({ bucket, count }) => [bucket, count])).toEqual([[0, 1_800]]);
          // What the checkpoint takes and four batches of rows.
          expect(Date.now() - startedAt).toBeGreaterThan(900);
        });
      });

      test("is unavailable when an answer stays away", async () => {
        await slowly({ type: "timeout", timeout: 0 }, "500", async (store) => {
          const startedAt = Date.now();
          await expect(store.digest(TENANT_A, PLAIN, 10)).rejects.toMatchObject({
            name: "StoreError",
            code: "unavailable",
          });
          expect(Date.now() - startedAt).toBeLessThan(3_000);
        });
      });

      test("ends at the deadline", async () => {
        await slowly({ type: "latency", latency: 60_000 }, "20000", async (store) => {
          const startedAt = Date.now();
          const soon = { ...TENANT_A, deadline: startedAt + 300 };
          await expect(store.digest(soon, PLAIN, 10)).rejects.toMatchObject({
            name: "StoreError",
            code: "unavailable",
          });
          expect(Date.now() - startedAt).toBeLessThan(3_000);
        });
      });
    });
  });
}

/** What several writers may do to one another; FerretDB 1 has no atomic updates to prove it with. */
function describeWriters(server: TestServer): void {
  describeOnServer(server, (url) => {
    describe("document: mongodb with several writers", () => {
      const opened = async (count: number) => {
        const fixture = await openFixture(url, server);
        const others = await Promise.all(
          Array.from({ length: count - 1 }, () => fixture.another()),
        );
        return { fixture, stores: [fixture.store, ...others] };
      };

      test("a collection is made once by any number at a time", async () => {
        const { fixture, stores } = await opened(6);
        await using _kept = fixture;
        await Promise.all(stores.map((store) => store.prepare(TENANT_A, SAMPLES)));
        const record = { id: "a", sequence: 1, fields: { kind: "x" } };
        await Promise.all(stores.map((store) => store.apply(TENANT_A, SAMPLES, deliver(record))));
        const { collections } = await fixture.store.statistics(TENANT_A);
        expect(collections).toEqual([{ name: "lab/sample", generation: 1, records: 1 }]);
      });

      test("of versions that several write at the same time the newest stays, also where it is a deletion", async () => {
        const { fixture, stores } = await opened(4);
        await using _kept = fixture;
        for (let round = 0; round < 12; round++) {
          const ids = Array.from({ length: 40 }, (_, index) => `${round}-${index}`);
          const isDeletion = round % 3 === 2;
          await Promise.all(
            stores.map((store, place) => {
              // Each round another one has the newest.
              const sequence = 1 + ((place + round) % stores.length);
              const isGone = isDeletion && sequence === stores.length;
              const records = ids.map((id) =>
                isGone ? { id, sequence } : { id, sequence, fields: { size: sequence } },
              );
              return store.apply(TENANT_A, PLAIN, { ...deliver(...records), checkpoint: 0 });
            }),
          );
        }
        await fixture.store.apply(TENANT_A, PLAIN, { batches: [], checkpoint: stores.length });
        expect(await fixture.store.count(TENANT_A, PLAIN, parseFilter({}))).toBe(8 * 40);
        expect(await fixture.store.count(TENANT_A, PLAIN, parseFilter({ size: 4 }))).toBe(8 * 40);
      });

      test("a collection discarded while another writes it has no checkpoint without its rows", async () => {
        const { fixture, stores } = await opened(2);
        await using _kept = fixture;
        const [writer = fixture.store, other = fixture.store] = stores;
        const records = Array.from({ length: 3_000 }, (_, index) => ({
          id: `id-${index}`,
          sequence: 5,
          fields: { size: index },
        }));
        for (const [round, rowCount] of [1, 500, 1_500, 3_000].entries()) {
          const collection = { ...PLAIN, generation: 10 + round };
          await other.prepare(TENANT_A, collection);
          const applied = writer.apply(TENANT_A, collection, deliver(...records)).then(
            () => "applied",
            (cause: unknown) => (cause instanceof StoreError ? cause.code : cause),
          );
          await fixture.untilRows(collection, rowCount);
          await other.discard(TENANT_A, collection);
          await other.prepare(TENANT_A, collection);
          expect(await applied).toBeOneOf(["applied", "conflict"]);
          expect(await other.checkpoint(TENANT_A, collection)).toBe(0);
          expect(await other.count(TENANT_A, collection, parseFilter({}))).toBe(0);
          await other.discard(TENANT_A, collection);
        }
        await other.settle(TENANT_A);
        expect(await fixture.collectionNames()).toEqual(["_collections"]);
      });

      test("one connection is enough for many calls at a time", async () => {
        const fixture = await openFixture(url, server, "&pool=1");
        await using _kept = fixture;
        await fixture.store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields: {} }));
        const calls = Array.from({ length: 30 }, () => idsOf(fixture.store, SAMPLES, {}));
        expect((await Promise.all(calls)).every((ids) => ids.join() === "a")).toBe(true);
      });
    });
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
      { id: "c", sequence: 1, fields: { parts: { n: 2 } } },
    ];
    await fixture.store.apply(TENANT_A, PLAIN, deliver(...records));
    await using client = new MongoClient(url);
    const database = client.db(`t${process.pid}-${lastInstallation}_tenant-a`);
    const rows = database.collection<{ _id: string }>("lab.sample#2");
    const ids = async (filter: unknown): Promise<readonly string[]> => {
      const { query, isExact } = compileFilter(parseFilter(filter), { isFaithful: true });
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
for (const server of ["mongodb", "ferretdb", "mongojava"] as const) describeStreams(server);
describeWriters("mongodb");
describeWriters("mongojava");
