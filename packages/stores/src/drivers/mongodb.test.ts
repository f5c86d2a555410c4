import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { MongoClient } from "mongodb";
import { describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import {
  addressOf,
  checkpointConcern,
  clientOptions,
  databaseName,
  openMongoDriver,
  readMongoSettings,
  rowConcern,
  serverOf,
} from "./mongodb.ts";

/** What the client makes of a URL's options; it connects to nothing. */
function optionsOf(url: string) {
  const settings = readMongoSettings(url);
  return new MongoClient(addressOf(settings), clientOptions(settings)).options;
}

describe("the URL of MongoDB", () => {
  test("names hosts, an account, a replica set, limits", () => {
    const options = optionsOf(
      "mongodb://ana:p%40ss@one:27018,[::1]/house?auth-source=people&replica-set=rs0&timeout=7000&connect-timeout=900&pool=3",
    );
    expect(options.hosts.map(String)).toEqual(["one:27018", "[::1]:27017"]);
    expect(options.credentials).toMatchObject({
      username: "ana",
      password: "p@ss",
      source: "people",
    });
    expect(options).toMatchObject({
      replicaSet: "rs0",
      maxPoolSize: 3,
      waitQueueTimeoutMS: 7_000,
      socketTimeoutMS: 7_000,
      serverSelectionTimeoutMS: 900,
      connectTimeoutMS: 900,
      retryWrites: false,
      retryReads: false,
      promoteBuffers: true,
    });
    expect(options.readPreference.mode).toBe("primary");
  });

  test("an account is looked for in `admin`, by the mechanism that is asked for", () => {
    const url = "mongodb://ana:x@one?auth-mechanism=SCRAM-SHA-256";
    expect(optionsOf(url).credentials).toMatchObject({
      source: "admin",
      mechanism: "SCRAM-SHA-256",
    });
  });

  test("a client's certificate is an account of its own, without a password", async () => {
    await using home = await makeTemporaryDirectory();
    for (const name of ["ca", "cert", "key"]) writeFileSync(join(home.path, name), `PEM ${name}\n`);
    const file = (name: string): string => encodeURIComponent(join(home.path, name));
    const options = optionsOf(
      `mongodb://one/x?tls=true&ca=${file("ca")}&cert=${file("cert")}&key=${file("key")}&auth-mechanism=MONGODB-X509`,
    );
    expect(options).toMatchObject({ tls: true, ca: "PEM ca", cert: "PEM cert", key: "PEM key" });
    expect(options.credentials).toMatchObject({
      mechanism: "MONGODB-X509",
      source: "$external",
      username: "",
    });
    expect(options.rejectUnauthorized).toBeUndefined();
  });

  test("a server that is not verified is taken only where the URL says so", () => {
    const options = optionsOf("mongodb://one/x?tls=true&verify=false");
    expect(options.rejectUnauthorized).toBe(false);
  });

  test.each([
    "mongodb://one/a.b",
    "mongodb://one/a_",
    `mongodb://one/${"a".repeat(25)}`,
    "mongodb://one/x?read-preference=secondary",
    "http://one",
  ])("%s is refused", (url) => {
    expect(() => readMongoSettings(url)).toThrow(expect.objectContaining({ code: "refused" }));
  });

  test("what the client library refuses is said when it is opened, without the password", async () => {
    const url = "mongodb://ana:p%40ss@one/x?auth-mechanism=NONE";
    const failure: unknown = await openMongoDriver({ url }).catch((cause: unknown) => cause);
    expect(failure).toMatchObject({ name: "StoreError", code: "refused" });
    expect(String(failure)).not.toMatch(/p@ss|p%40ss/);
  });
});

describe("the database of a scope", () => {
  const salt = new Uint8Array(32).fill(7);

  test("is named by installation and tenant, or a digest where that is too long or has an owner", () => {
    expect(databaseName("house", scopeFor("tenant-a"), salt)).toBe("house_tenant-a");
    expect(databaseName("house", scopeFor("_system"), salt)).toBe("house__system");
    // printf 'a%.0s' $(seq 63) | sha256sum
    expect(databaseName("house", scopeFor("a".repeat(63)), salt)).toBe(
      "house__7d3e74a05d7db15bce4ad9ec0658ea98",
    );
    const owned = databaseName("house", scopeFor("tenant-a", "ana"), salt);
    expect(owned).toMatch(/^house__[0-9a-f]{32}$/);
    expect(databaseName("house", scopeFor("tenant-b", "ana"), salt)).not.toBe(owned);
  });
});

describe("a server", () => {
  test("is MongoDB by the commit that it names, by itself, of a replica set or of shards", () => {
    const built = { version: "8.0.4", gitVersion: "bc35ab4305d9920d9d0491c1c9ef9b72383d31f9" };
    const server = { product: "MongoDB", version: "8.0.4", isFaithful: true, hasIndexes: true };
    expect(serverOf(built, {})).toMatchObject({ ...server, topology: "single" });
    const replica = serverOf(built, { setName: "rs0" });
    const sharded = serverOf(built, { msg: "isdbgrid" });
    expect(replica).toMatchObject({ ...server, topology: "replica-set" });
    expect(sharded).toMatchObject({ ...server, topology: "sharded" });
    expect(checkpointConcern(serverOf(built, {}))).toEqual({});
    expect(checkpointConcern(replica)).toEqual({ readConcern: { level: "majority" } });
    expect(rowConcern(replica)).toEqual({});
    expect(rowConcern(sharded)).toEqual({ writeConcern: { w: "majority", journal: true } });
  });

  test("is FerretDB by what it calls itself, of which the first version can do less", () => {
    const first = { version: "7.0.42", ferretdbVersion: "v1.24.2" };
    expect(serverOf(first, {})).toEqual({
      product: "FerretDB",
      version: "1.24.2",
      topology: "single",
      isFaithful: false,
      hasIndexes: false,
      updatesAtOnceMax: 20,
    });
    expect(serverOf({ version: "7.0.77", ferretdb: { version: "v2.5.0" } }, {})).toMatchObject({
      version: "2.5.0",
      hasIndexes: true,
      updatesAtOnceMax: 1_000,
    });
  });

  test("of another product is asked no more than it is known to answer", () => {
    expect(serverOf({ version: "5.0.0" }, {})).toMatchObject({
      product: "another server of MongoDB's protocol",
      isFaithful: false,
    });
  });

  test("that is too old is unsupported, and told what is needed", () => {
    const failure = { name: "StoreError", code: "unsupported" };
    for (const version of ["4.4.29", "3.6.23"]) {
      expect(() => serverOf({ version, gitVersion: "x" }, {})).toThrow(
        expect.objectContaining(failure),
      );
    }
    expect(() => serverOf({ version: "4.4.29", gitVersion: "x" }, {})).toThrow(
      "MongoDB 4.4.29 is too old: Custody needs MongoDB 5.0 or newer",
    );
  });
});
