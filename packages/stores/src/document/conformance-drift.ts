import { describe, expect, test } from "vitest";

import { stringifyJson } from "@custody/contract/json";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { makeBatch } from "../record-batch.ts";
import { documentContent } from "./content.ts";
import { SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentFixture, TestRecord } from "./conformance-fixture.ts";
import type { DocumentStore } from "./port.ts";

const RECORDS: readonly Required<TestRecord>[] = [
  { id: "a", sequence: 1, fields: { kind: "x", tags: ["t"], z: 1, b: { y: 2, x: -0 } } },
  { id: "b", sequence: 1, fields: { size: 9_007_199_254_740_993n, kind: "ünï\u0000" } },
  { id: "c", sequence: 99, fields: { size: 1.5e300, labels: { owner: null } } },
  { id: "d", sequence: 100, fields: {} },
  { id: "e", sequence: 250, fields: { tags: ["t", "u"], parts: [{ name: "p" }] } },
];

const contentOf = documentContent({});

/** The digests as the journal's side computes them. */
function digestsOf(records: readonly Required<TestRecord>[], bucketSize: number) {
  const sums = new DigestSums(bucketSize);
  for (const { id, sequence, fields } of records) {
    sums.add(sequence, rowHash(id, sequence, contentOf(fields)));
  }
  return sums.digests();
}

function rowsOf(records: readonly Required<TestRecord>[]) {
  return records.map(({ id, sequence, fields }) => ({
    id,
    sequence,
    hash: hashText(rowHash(id, sequence, contentOf(fields))),
  }));
}

/** That what is really stored is compared with the journal, row by row. */
export function describeDrift(current: () => DocumentFixture): void {
  const filled = async (): Promise<DocumentStore> => {
    const { store } = current();
    await store.apply(TENANT_A, SAMPLES, deliver(...RECORDS));
    return store;
  };
  const listed = async (store: DocumentStore) =>
    (await store.list(TENANT_A, SAMPLES, { fromSequence: 0, toSequence: 1_000, limit: 100 })).rows;

  test("a row's hash is the first 64 bits of SHA-256 over id, sequence and canonical JSON", async () => {
    const { store } = current();
    const fields = { b: [1, true], a: "é" };
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "r1", sequence: 7, fields }));
    // printf 'r1\0007\000{"a":"é","b":[1,true]}' | sha256sum
    expect(await listed(store)).toEqual([{ id: "r1", sequence: 7, hash: "0a5d21cf63ae0915" }]);
  });

  test("digests and rows equal those of the journal's records", async () => {
    const store = await filled();
    expect(await store.digest(TENANT_A, SAMPLES, 100)).toEqual(digestsOf(RECORDS, 100));
    expect((await store.digest(TENANT_A, SAMPLES, 100)).map(({ count }) => count)).toEqual([
      3, 1, 1,
    ]);
    expect(await store.digest(TENANT_A, SAMPLES, 7)).toEqual(digestsOf(RECORDS, 7));
    expect(await listed(store)).toEqual(rowsOf(RECORDS));
  });

  test("rows are listed by sequence then id, from and below the given ones, page by page", async () => {
    const store = await filled();
    const range = { fromSequence: 1, toSequence: 250, limit: 1 };
    const seen: string[] = [];
    let page = await store.list(TENANT_A, SAMPLES, range);
    while (page.cursor !== undefined) {
      seen.push(...page.rows.map(({ id }) => id));
      page = await store.list(TENANT_A, SAMPLES, { ...range, cursor: page.cursor });
    }
    seen.push(...page.rows.map(({ id }) => id));
    expect(seen).toEqual(["a", "b", "c", "d"]);
    const none = await store.list(TENANT_A, SAMPLES, { ...range, fromSequence: 2, toSequence: 99 });
    expect(none).toEqual({ rows: [] });
  });

  test("a digest while rows are written is that of one instant", async () => {
    const { store, changedRows = 2_000 } = current();
    const records = Array.from({ length: changedRows }, (_, index) => ({
      id: `id-${String(index).padStart(4, "0")}`,
      sequence: 1,
      fields: { size: index },
    }));
    await store.apply(TENANT_A, SAMPLES, deliver(...records));
    const digest = store.digest(TENANT_A, SAMPLES, 10);
    const changed = records.map((record) => ({ ...record, sequence: 2, fields: { size: -1 } }));
    await store.apply(TENANT_A, SAMPLES, deliver(...changed));
    expect([digestsOf(records, 10), digestsOf(changed, 10)]).toContainEqual(await digest);
    expect(await store.digest(TENANT_A, SAMPLES, 10)).toEqual(digestsOf(changed, 10));
  });

  test("repair makes rows equal to the journal, older or newer, and removes what is marked", async () => {
    const store = await filled();
    const changes = [
      { id: "a", sequence: 1, fields: { kind: "repaired", tags: ["r"] } },
      { id: "e", sequence: 40, fields: { kind: "older" } },
      { id: "new", sequence: 3, fields: {} },
    ];
    const texts = changes.map(({ id, sequence, fields }) => ({
      id,
      sequence,
      text: stringifyJson(fields),
    }));
    await store.repair(
      TENANT_A,
      SAMPLES,
      makeBatch("lab/sample", [...texts, { id: "b", sequence: 0 }, { id: "absent", sequence: 0 }]),
    );
    const [a, older, added] = changes;
    const kept = RECORDS.filter(({ id }) => id === "c" || id === "d");
    const expected = [a, added, older, ...kept].filter((one) => one !== undefined);
    expect(await listed(store)).toEqual(rowsOf(expected));
    expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(250);
    expect(await idsOf(store, SAMPLES, { tags: "t" })).toEqual([]);
    expect(await idsOf(store, SAMPLES, { tags: "r" })).toEqual(["a"]);
  });

  describe("behind the store's back", () => {
    test("an altered row, a missing one and one too many are found, and no other", async ({
      skip,
    }) => {
      const { tamper } = current();
      if (tamper === undefined) return skip("the engine's data cannot be changed from outside");
      const store = await filled();
      await tamper.alter(SAMPLES, "c", '{"size":1.5e300,"labels":{"owner":"eve"}}');
      await tamper.remove(SAMPLES, "d");
      await tamper.add(SAMPLES, "extra", 250, '{"kind":"x"}');
      const fields = { size: 1.5e300, labels: { owner: "eve" } };
      const [a, b, , , e] = RECORDS;
      const really = [
        a,
        b,
        { id: "c", sequence: 99, fields },
        e,
        { id: "extra", sequence: 250, fields: { kind: "x" } },
      ].filter((one) => one !== undefined);
      expect(await listed(store)).toEqual(rowsOf(really));
      const digests = await store.digest(TENANT_A, SAMPLES, 100);
      expect(digests).toEqual(digestsOf(really, 100));
      expect(digests.map(({ bucket, count }) => [bucket, count])).toEqual([
        [0, 3],
        [2, 2],
      ]);
    });
  });
}
