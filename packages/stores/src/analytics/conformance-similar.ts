import { beforeAll, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import type { AnalyticsStore } from "./port.ts";

const scope = scopeFor("vectors");
const TEXTS = tableOf("lab/texts", { embedding: "vector", name: "text" });

/** Nearest rows by cosine similarity. */
export function describeSimilarity(opened: () => AnalyticsStore): void {
  describe("similarity", () => {
    let store: AnalyticsStore;
    beforeAll(async () => {
      store = opened();
      await writeRows(store, scope, TEXTS, [
        { embedding: [1, 0, 0] },
        { embedding: [0, 2, 0] },
        { embedding: [3, 3, 0] },
        { embedding: [-1, 0, 0] },
        { embedding: [1, 0] },
        { embedding: [] },
        { name: "none" },
        { embedding: [0, 0, 0] },
        { embedding: [10, 0, 0] },
        { embedding: ["x", 0, 0] },
      ]);
    });
    const near = async (vector: readonly number[], top = 100) =>
      await store.similar(scope, TEXTS, { column: "embedding", vector, top });

    test("the nearest come first, ties by id; no, empty, zero and other-length vectors are left out", async () => {
      const { rows, checkpoint } = await near([1, 0, 0]);
      expect(rows.map(({ id }) => id)).toEqual(["row-0", "row-8", "row-2", "row-1", "row-3"]);
      expect(rows.map(({ similarity }) => similarity)).toEqual([
        1,
        1,
        expect.closeTo(Math.SQRT1_2, 6),
        0,
        -1,
      ]);
      expect(checkpoint).toBe(1);
    });

    test("only as many as asked for are answered", async () => {
      expect((await near([0, 1, 0], 1)).rows).toEqual([{ id: "row-1", similarity: 1 }]);
    });

    test("a vector of a length that no row has finds nothing", async () => {
      expect((await near([1, 2, 3, 4])).rows).toEqual([]);
      expect((await near([0, 0, 0])).rows).toEqual([]);
    });

    test("a column that is none or holds no vectors, and a vector that is none, are refused", async () => {
      const refused = { name: "StoreError", code: "refused" };
      const ask = async (column: string, vector: readonly number[]) =>
        await store.similar(scope, TEXTS, { column, vector, top: 1 });
      await expect(ask("none", [1])).rejects.toMatchObject(refused);
      await expect(ask("name", [1])).rejects.toMatchObject(refused);
      await expect(ask('embedding"', [1])).rejects.toMatchObject(refused);
      await expect(ask("embedding", [])).rejects.toMatchObject(refused);
      await expect(ask("embedding", [1, Number.NaN, 0])).rejects.toMatchObject(refused);
    });

    test("as many rows as the limit may be asked for, one more is refused", async () => {
      const { rowsMax } = store.limits;
      expect((await near([1, 0, 0], rowsMax)).rows).toHaveLength(5);
      await expect(near([1, 0, 0], rowsMax + 1)).rejects.toMatchObject({ code: "limit" });
    });
  });
}
