import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { describe, expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { withoutPrivileges } from "../testing/without-privileges.ts";
import { SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentCollection, DocumentFixture } from "./conformance-fixture.ts";
import { describeDocument } from "./conformance.ts";
import type { DocumentQuery, DocumentStore } from "./port.ts";
import { openSqliteDocumentStore } from "./sqlite.ts";

const module = new URL("./sqlite.ts", import.meta.url).href;
const ownerSalt = new Uint8Array(32).fill(7);

function fileOf(directory: string): string {
  return join(directory, "tenants", "tenant-a", "document.sqlite");
}

interface SqliteFixture extends DocumentFixture {
  /** Runs SQL on the file behind the store's back. */
  execute(sql: string): void;
}

async function openFixture(): Promise<SqliteFixture> {
  const directory = await makeTemporaryDirectory();
  const { path } = directory;
  const options = { directory: path, ownerSalt, busyMs: 50 };
  const openStore = () => openSqliteDocumentStore(options);
  let store: DocumentStore | undefined = await openStore();
  const close = async (): Promise<void> => {
    await store?.[Symbol.asyncDispose]();
    store = undefined;
  };
  return {
    store,
    async reopen() {
      await close();
      return (store = await openStore());
    },
    childStore: `(await import("${module}")).openSqliteDocumentStore(${JSON.stringify({ directory: path })})`,
    tamper: tampering(fileOf(path)),
    execute(sql) {
      const database = new DatabaseSync(fileOf(path));
      database.exec(sql);
      database.close();
    },
    faults: {
      async corrupt() {
        await close();
        await writeFile(fileOf(path), Buffer.alloc(32_768, "not a database"));
      },
      async full() {
        await close();
        return (store = await openSqliteDocumentStore({ ...options, bytesMax: 4_000_000 }));
      },
      async readOnly(work) {
        await close();
        await chmod(path, 0o755);
        await chmod(fileOf(path), 0o444);
        await withoutPrivileges(work);
        await close();
      },
      async lock(work) {
        const other = new DatabaseSync(fileOf(path));
        other.exec("BEGIN IMMEDIATE");
        await work();
        other.close();
      },
    },
    async [Symbol.asyncDispose]() {
      await close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

function tampering(path: string): NonNullable<DocumentFixture["tamper"]> {
  const change = (
    { name, generation }: DocumentCollection,
    sql: (table: string) => string,
    values: readonly (string | number)[],
  ): void => {
    const database = new DatabaseSync(path);
    database.prepare(sql(`"${name}#${generation}"`)).run(...values);
    database.close();
  };
  return {
    async alter(collection, id, text) {
      change(collection, (table) => `UPDATE ${table} SET body = jsonb(?) WHERE id = ?`, [text, id]);
    },
    async remove(collection, id) {
      change(collection, (table) => `DELETE FROM ${table} WHERE id = ?`, [id]);
    },
    async add(collection, id, sequence, text) {
      change(
        collection,
        (table) => `INSERT INTO ${table} (id, sequence, body) VALUES (?, ?, jsonb(?))`,
        [id, sequence, text],
      );
      change(collection, () => `INSERT INTO "lab/sample#1#link0" VALUES (?, 1000000)`, [
        "a value of no document",
      ]);
    },
  };
}

describeDocument("sqlite", openFixture);

describe("document: sqlite only", () => {
  const plan = async (
    store: DocumentStore,
    filter: unknown,
    query: Partial<DocumentQuery> = {},
  ): Promise<string> =>
    (
      await store.explain(TENANT_A, SAMPLES, { filter: parseFilter(filter), limit: 10, ...query })
    ).join("\n");

  test("filters and sorts use the indexes of the placement", async () => {
    await using fixture = await openFixture();
    const { store } = fixture;
    const fields = { kind: "x", size: 1, tags: ["t"], parts: [{ name: "p" }] };
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields }));
    expect(await plan(store, { kind: "x" })).toBe(
      "SEARCH d USING INDEX lab/sample#1#keys0 (key0=?)",
    );
    expect(await plan(store, { size: { $gte: 1, $lt: 5 } })).toContain(
      "USING INDEX lab/sample#1#keys1 (key1>? AND key1<?)",
    );
    expect(await plan(store, { kind: "x", size: { $gt: 1 } })).toContain(
      "USING INDEX lab/sample#1#keys3 (key0=? AND key1>?",
    );
    expect(await plan(store, { tags: "t" })).toContain(
      "SEARCH lab/sample#1#link0 USING PRIMARY KEY (value=?)",
    );
    expect(await plan(store, { "parts.name": { $in: ["p", "q"] } })).toContain(
      "SEARCH lab/sample#1#link1 USING PRIMARY KEY (value=?)",
    );
    const sort = [{ path: "size", direction: "asc" as const }];
    expect(await plan(store, {}, { sort })).toBe("SCAN d USING INDEX lab/sample#1#keys1");
  });

  test("an index still serves where some documents have arrays at its path", async () => {
    await using fixture = await openFixture();
    const { store } = fixture;
    const records = [
      { id: "a", sequence: 1, fields: { kind: "x" } },
      { id: "b", sequence: 1, fields: { kind: ["x", "y"] } },
    ];
    await store.apply(TENANT_A, SAMPLES, deliver(...records));
    const steps = await plan(store, { kind: "x" });
    expect(steps).toMatch(/lab\/sample#1#keys[03] \(key0=\?\)/);
    expect(steps).toContain("lab/sample#1#array0");
    expect(steps).not.toContain("SCAN d");
  });

  test("a document that an array index has lost is listed as stale, and repair puts it back", async () => {
    await using fixture = await openFixture();
    const { store } = fixture;
    const fields = { tags: ["t", "u"] };
    const delivery = deliver({ id: "a", sequence: 1, fields }, { id: "b", sequence: 1, fields });
    await store.apply(TENANT_A, SAMPLES, delivery);
    const range = { fromSequence: 0, toSequence: 10, limit: 10 };
    const before = await store.list(TENANT_A, SAMPLES, range);
    fixture.execute(`DELETE FROM "lab/sample#1#link0" WHERE value = 'u' AND number = 2`);
    const after = await store.list(TENANT_A, SAMPLES, range);
    expect(after.rows[0]).toEqual(before.rows[0]);
    expect(after.rows[1]?.hash).not.toBe(before.rows[1]?.hash);
    expect(await idsOf(store, SAMPLES, { tags: "u" })).toEqual(["a"]);
    for (const batch of delivery.batches) await store.repair(TENANT_A, SAMPLES, batch);
    expect(await store.list(TENANT_A, SAMPLES, range)).toEqual(before);
    expect(await idsOf(store, SAMPLES, { tags: "u" })).toEqual(["a", "b"]);
  });
});
