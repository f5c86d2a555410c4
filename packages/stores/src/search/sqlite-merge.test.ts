import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { deliver } from "../testing/conformance-projection.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { FINDING, FINDINGS } from "./conformance-case.ts";
import type { SearchStore } from "./port.ts";
import { parseSearch } from "./query-language.ts";
import { readStructure } from "./sqlite-merge.ts";
import type { IndexStructure } from "./sqlite-merge.ts";
import { openSqliteSearchStore } from "./sqlite.ts";

const scope = scopeFor("tenant-a");

describe("merging the search index", () => {
  let home: TemporaryDirectory;
  let store: SearchStore;
  beforeEach(async () => {
    home = await makeTemporaryDirectory();
    store = await openSqliteSearchStore({ directory: home.path });
    await store.prepare(scope, FINDINGS);
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });
  const path = (): string => join(home.path, "tenants", "tenant-a", "search.sqlite");
  const structure = (): IndexStructure => {
    using database = new DatabaseSync(path());
    return readStructure(database, "redteam__finding__g1");
  };
  const put = async (sequence: number, title: string): Promise<void> => {
    const records = [{ id: `id-${sequence}`, sequence, text: JSON.stringify({ title }) }];
    await store.apply(scope, FINDINGS, deliver(FINDING, records));
  };
  const total = async (text: string): Promise<number> =>
    (await store.search(scope, FINDINGS, { expression: parseSearch(text), limit: 1 })).total;

  test("many small deliveries keep the index within a bound that queries bear", async () => {
    let most = 0;
    for (let sequence = 1; sequence <= 400; sequence += 1) {
      await put(sequence, `word ${sequence}`);
      most = Math.max(most, structure().segments);
    }
    expect(most).toBe(128);
    expect(await total("word")).toBe(400);
  });

  test("once settled, the words of deleted records are in no byte of the store", async () => {
    const records = Array.from({ length: 3_000 }, (_, n) => ({
      id: `id-${n}`,
      sequence: 1 + (n % 3),
      text: JSON.stringify({
        title: n % 50 === 0 ? `confidentialname${n} filler` : `filler words ${n}`,
      }),
    }));
    for (const sequence of [1, 2, 3]) {
      const part = records.filter((one) => one.sequence === sequence);
      await store.apply(scope, FINDINGS, deliver(FINDING, part));
    }
    await store.settle(scope);
    expect(readFileSync(path()).includes("confidentialname")).toBe(true);
    const removals = records.filter((_, n) => n % 50 === 0).map(({ id }) => ({ id, sequence: 4 }));
    await store.apply(scope, FINDINGS, deliver(FINDING, removals));
    await store.settle(scope);
    expect(structure().tombstones).toBe(0);
    for (const ending of ["", "-wal"]) {
      expect(readFileSync(`${path()}${ending}`).includes("confidentialname")).toBe(false);
    }
    expect(await total("filler")).toBe(2_940);
  });

  test("settling what is settled writes nothing", async () => {
    await put(1, "word");
    await store.settle(scope);
    const before = readFileSync(path());
    await store.settle(scope);
    expect(readFileSync(path()).equals(before)).toBe(true);
  });
});
