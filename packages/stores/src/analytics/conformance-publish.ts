import { beforeAll, describe, expect, test } from "vitest";

import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import type { SqlDialect } from "./conformance-dialect.ts";
import { tableOf, writeRows } from "./conformance-rows.ts";
import type { AnalyticsStore, Cell } from "./port.ts";

const scope = scopeFor("publishing");

/** Which generation bears the plain name in SQL. */
export function describePublishing(opened: () => AnalyticsStore, dialect: SqlDialect): void {
  describe("publishing", () => {
    let store: AnalyticsStore;
    beforeAll(() => {
      store = opened();
    });
    const names = async (statement: string): Promise<readonly Cell[]> => {
      const { rows } = await store.sql(scope, { statement, rowsMax: 10, timeMs: 5_000 });
      return rows.map(([cell]) => cell ?? null);
    };

    test("the published generation bears the name, and another takes its place at once", async () => {
      const first = tableOf("lab/one", { name: "text" });
      const second = { ...tableOf("lab/one", { name: "text", size: "integer" }), generation: 2 };
      await writeRows(store, scope, first, [{ name: "old" }]);
      const select = "SELECT name FROM lab.one";
      await expect(names(select)).rejects.toMatchObject({ code: "refused" });
      await store.publish(scope, first);
      await writeRows(store, scope, second, [{ name: "new" }]);
      expect(await names(select)).toEqual(["old"]);
      await store.publish(scope, second);
      await store.publish(scope, second);
      expect(await names(select)).toEqual(["new"]);
      await store.discard(scope, first);
      expect(await names(select)).toEqual(["new"]);
      await store.discard(scope, second);
      await expect(names(select)).rejects.toMatchObject({ code: "refused" });
    });

    test("going back to the generation before is publishing it again", async () => {
      const first = tableOf("lab/back", { name: "text" });
      const second = { ...first, generation: 2 };
      await writeRows(store, scope, first, [{ name: "first" }]);
      await writeRows(store, scope, second, [{ name: "second" }]);
      await store.publish(scope, first);
      await store.publish(scope, second);
      await store.publish(scope, first);
      expect(await names("SELECT name FROM lab.back")).toEqual(["first"]);
    });

    test("what is applied after publishing is seen", async () => {
      const table = tableOf("lab/live", { name: "text" });
      await writeRows(store, scope, table, [{ name: "a" }]);
      await store.publish(scope, table);
      const batch = makeBatch("lab/live", [{ id: "later", sequence: 2, text: '{"name":"b"}' }]);
      await store.apply(scope, table, { batches: [batch], checkpoint: 2 });
      expect(await names("SELECT name FROM lab.live ORDER BY 1")).toEqual(["a", "b"]);
    });

    test("publishing what was never prepared is refused", async () => {
      await expect(store.publish(scope, tableOf("lab/never", {}))).rejects.toMatchObject({
        code: "refused",
      });
    });

    test("names that are syntax are names", async () => {
      const hostile = tableOf(`lab/x" AS SELECT 1; --`, { 'y"; --': "text" });
      await writeRows(store, scope, hostile, [{ 'y"; --': "value" }]);
      await store.publish(scope, hostile);
      const select = 'SELECT "y""; --" FROM lab."x"" AS SELECT 1; --"';
      expect(await names(select)).toEqual(["value"]);
    });

    test("a name that another bears is refused, where names that differ by case are one", async () => {
      const small = tableOf("lab/twin", { name: "text" });
      await writeRows(store, scope, small, [{ name: "small" }]);
      await store.publish(scope, small);
      const large = tableOf("LAB/TWIN", { name: "text" });
      await writeRows(store, scope, large, [{ name: "large" }]);
      if (dialect.ignoresCase) {
        await expect(store.publish(scope, large)).rejects.toMatchObject({ code: "refused" });
      } else {
        await store.publish(scope, large);
        expect(await names("SELECT name FROM LAB.TWIN")).toEqual(["large"]);
      }
      expect(await names("SELECT name FROM lab.twin")).toEqual(["small"]);
    });

    test.each(["system/users", "temp/files", "memory/pages", "main/things", "select/from"])(
      "a pack named as something of an engine's own can be queried: %s",
      async (name) => {
        const table = tableOf(name, { name: "text" });
        await writeRows(store, scope, table, [{ name: "here" }]);
        await store.publish(scope, table);
        const [pack, type] = name.split("/");
        expect(await names(`SELECT name FROM "${pack}"."${type}"`)).toEqual(["here"]);
      },
    );
  });
}
