import { expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";

import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentCollection } from "./conformance-fixture.ts";
import type { DocumentQuery, DocumentStore } from "./port.ts";

type Sort = NonNullable<DocumentQuery["sort"]>;

const DOCUMENTS: Readonly<Record<string, unknown>> = {
  a: { size: 3, kind: "m" },
  b: { size: 1, kind: "m" },
  c: { size: "text", kind: "k" },
  d: { size: null, kind: "m" },
  e: { kind: "k" },
  f: { size: true },
  g: { size: false },
  h: { size: { deep: 1 } },
  i: { size: 3, kind: "k" },
  j: { size: "éclair" },
  k: { size: "zoo" },
  l: { size: 9_007_199_254_740_993n },
  m: { size: 0 },
};

const ORDERS: readonly (readonly [sort: Sort, ids: string])[] = [
  [[], "abcdefghijklm"],
  [[{ path: "size", direction: "asc" }], "dembailckjhgf"],
  [[{ path: "size", direction: "desc" }], "fghjkclaibmde"],
  [
    [
      { path: "kind", direction: "desc" },
      { path: "size", direction: "asc" },
    ],
    "dbaeicmlkjhgf",
  ],
  [
    [
      { path: "kind", direction: "asc" },
      { path: "size", direction: "desc" },
    ],
    "fghjklmcieabd",
  ],
  [[{ path: "nothing", direction: "desc" }], "abcdefghijklm"],
];

const WITH_ARRAYS: Readonly<Record<string, unknown>> = {
  a: { size: [5, 1], labels: [{ owner: 3 }, { owner: 8 }] },
  b: { size: 2, labels: { owner: 4 } },
  c: { size: [], labels: {} },
  d: { size: [9], labels: { owner: [9, 1] } },
};

const ARRAY_ORDERS: readonly (readonly [sort: Sort, ids: string])[] = [
  [[{ path: "size", direction: "asc" }], "cabd"],
  [[{ path: "size", direction: "desc" }], "dabc"],
  [[{ path: "labels.owner", direction: "asc" }], "cdab"],
  [[{ path: "labels.owner", direction: "desc" }], "dabc"],
];

/** Order and pages. */
export function describePages(current: () => DocumentStore): void {
  const fill = (
    collection: DocumentCollection,
    documents: Readonly<Record<string, unknown>>,
  ): Promise<void> => {
    const records = Object.entries(documents).map(([id, fields]) => ({ id, sequence: 1, fields }));
    return current().apply(TENANT_A, collection, deliver(...records));
  };
  const walk = async (
    collection: DocumentCollection,
    sort: Sort,
    limit: number,
  ): Promise<string> => {
    const filter = parseFilter({});
    const found: string[] = [];
    let page = await current().find(TENANT_A, collection, { filter, sort, limit });
    for (;;) {
      found.push(...page.documents.map(({ id }) => id));
      const { cursor } = page;
      // An order that repeats itself would never end.
      if (cursor === undefined || found.length > 100) return found.join("");
      page = await current().find(TENANT_A, collection, { filter, sort, limit, cursor });
    }
  };

  test.each([
    ["without indexes", PLAIN],
    ["with indexes", SAMPLES],
  ])("pages of any size walk the whole order once, %s", async (_name, collection) => {
    await fill(collection, DOCUMENTS);
    for (const limit of [1, 2, 5, 12, 13, 14]) {
      for (const [sort, ids] of ORDERS) expect(await walk(collection, sort, limit)).toBe(ids);
    }
  });

  test.each([
    ["without indexes", PLAIN],
    ["with indexes", SAMPLES],
  ])("a document sorts by its least or greatest value, %s", async (_name, collection) => {
    await fill(collection, WITH_ARRAYS);
    for (const limit of [1, 3, 4]) {
      for (const [sort, ids] of ARRAY_ORDERS) expect(await walk(collection, sort, limit)).toBe(ids);
    }
  });

  test("the last page has no cursor, also when it is full", async () => {
    await fill(PLAIN, DOCUMENTS);
    const filter = parseFilter({ kind: "m" });
    const page = await current().find(TENANT_A, PLAIN, { filter, limit: 3 });
    expect(page.documents.map(({ id }) => id)).toEqual(["a", "b", "d"]);
    expect(page.cursor).toBeUndefined();
  });

  test("a page goes on behind its last document though that was deleted and others came", async () => {
    await fill(SAMPLES, DOCUMENTS);
    const query = { filter: parseFilter({}), limit: 3 };
    const { cursor = "" } = await current().find(TENANT_A, SAMPLES, query);
    await current().apply(TENANT_A, SAMPLES, deliver({ id: "c", sequence: 2 }));
    const fields = { size: 0 };
    await current().apply(
      TENANT_A,
      SAMPLES,
      deliver({ id: "ca", sequence: 3, fields }, { id: "aa", sequence: 3, fields }),
    );
    expect(await idsOf(current(), SAMPLES, {}, { limit: 2, cursor })).toEqual(["ca", "d"]);
  });

  test("a cursor of another query, and one that is none, are refused", async () => {
    await fill(SAMPLES, DOCUMENTS);
    const sort: Sort = [{ path: "size", direction: "asc" }];
    const query = { filter: parseFilter({}), sort, limit: 2 };
    const { cursor = "" } = await current().find(TENANT_A, SAMPLES, query);
    const refusal = { name: "StoreError", code: "refused" };
    const others: readonly DocumentQuery[] = [
      { ...query, cursor, filter: parseFilter({ kind: "m" }) },
      { ...query, cursor, sort: [{ path: "size", direction: "desc" }] },
      { filter: parseFilter({}), limit: 2, cursor },
      { ...query, cursor: "garbage" },
      { ...query, cursor: `${cursor.slice(0, -6)}AAAAAA` },
      { ...query, cursor: "" },
    ];
    for (const other of others) {
      await expect(current().find(TENANT_A, SAMPLES, other)).rejects.toMatchObject(refusal);
    }
    await expect(current().find(TENANT_A, PLAIN, { ...query, cursor })).resolves.toMatchObject({
      documents: [],
    });
    await fill(PLAIN, DOCUMENTS);
    await expect(current().find(TENANT_A, PLAIN, { ...query, cursor })).rejects.toMatchObject(
      refusal,
    );
  });

  test("a page of the greatest size is answered, one more is refused, and so is none", async () => {
    await fill(PLAIN, DOCUMENTS);
    const { pageMax } = current().limits;
    expect(await idsOf(current(), PLAIN, {}, { limit: pageMax })).toHaveLength(13);
    for (const limit of [pageMax + 1, 0, -1, 1.5]) {
      await expect(idsOf(current(), PLAIN, {}, { limit })).rejects.toMatchObject({
        name: "StoreError",
        code: "limit",
      });
    }
  });

  test("the plan of a query is explained in lines of text", async () => {
    await fill(SAMPLES, DOCUMENTS);
    const query = { filter: parseFilter({ kind: "m" }), limit: 3 };
    const lines = await current().explain(TENANT_A, SAMPLES, query);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.filter((line) => line.trim() === "")).toEqual([]);
  });
}
