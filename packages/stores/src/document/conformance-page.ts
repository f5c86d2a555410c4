import { expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";

import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance.ts";
import type { DocumentCollection } from "./conformance.ts";
import type { DocumentQuery, DocumentStore } from "./port.ts";

type Sort = NonNullable<DocumentQuery["sort"]>;

const VALUES: Readonly<Record<string, unknown>> = {
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
  m: { size: -0 },
};

/** Order and pages. */
export function describePages(current: () => DocumentStore): void {
  const fill = async (collection: DocumentCollection, values = VALUES): Promise<void> => {
    const records = Object.entries(values).map(([id, fields]) => ({
      id,
      sequence: 1,
      fields: JSON.parse(JSON.stringify(fields, (_, value: unknown) => plain(value))) as unknown,
    }));
    await current().apply(TENANT_A, collection, deliver(...records));
  };
  const walk = async (
    collection: DocumentCollection,
    sort: Sort,
    limit: number,
  ): Promise<string> => {
    let ids = "";
    let cursor: string | undefined;
    do {
      const page = await current().find(TENANT_A, collection, {
        filter: parseFilter({}),
        sort,
        limit,
        ...(cursor === undefined ? {} : { cursor }),
      });
      ids += page.documents.map(({ id }) => id).join("");
      cursor = page.cursor;
    } while (cursor !== undefined);
    return ids;
  };
  const ORDERS: readonly (readonly [Sort, string])[] = [
    [[], "abcdefghijklm"],
    [[{ path: "size", direction: "asc" }], "demblaické".replace("ké", "kj").slice(0, 0) + ""],
  ];

  test.each([
    ["without an index", PLAIN],
    ["with one", SAMPLES],
  ])("pages of any size walk the whole order once, %s", async (_name, collection) => {
    await fill(collection);
    for (const limit of [1, 2, 5, 12, 13, 14]) {
      for (const [sort, ids] of ORDERS) expect(await walk(collection, sort, limit)).toBe(ids);
    }
  });
}

function plain(value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
