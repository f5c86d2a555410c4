import type { AnalyticsPlacement } from "@custody/contract/placement";
import { beforeAll, describe, expect, test } from "vitest";

import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import { scopeFor } from "../testing/scope.ts";
import type { AnalyticsStore, Cell } from "./port.ts";

const scope = scopeFor("totals");

/** As the Fortress document has it: counts that are summed, and a rate that is not. */
const TRENDS: AnalyticsPlacement = {
  columns: {
    scan_date: { type: "text", from: "scan_date" },
    cluster_id: { type: "text", from: "cluster_id" },
    critical_count: { type: "integer", from: "critical_count" },
    low_count: { type: "integer", from: "low_count" },
    remediation_rate: { type: "real", from: "remediation_rate" },
  },
  totals: { by: ["scan_date", "cluster_id"], sum: ["critical_count", "low_count"] },
};

function trendsOf(name: string): Collection<AnalyticsPlacement> {
  return { name, generation: 1, placements: { [name]: TRENDS } };
}

/** JSON text of a scan of one day and cluster. */
function scan(cluster: string, critical: number, low: number, rate?: number): string {
  const counts = { critical_count: critical, low_count: low };
  return JSON.stringify({
    scan_date: "2026-11-21",
    cluster_id: cluster,
    ...counts,
    remediation_rate: rate,
  });
}

/** Tables whose rows SQL sees as totals. */
export function describeTotals(opened: () => AnalyticsStore): void {
  describe("totals", () => {
    let store: AnalyticsStore;
    beforeAll(() => {
      store = opened();
    });
    const totals = async (type: string): Promise<readonly (readonly Cell[])[]> => {
      const statement = `SELECT cluster_id, critical_count, low_count, remediation_rate
        FROM fortress.${type} ORDER BY cluster_id`;
      return (await store.sql(scope, { statement, rowsMax: 10, timeMs: 5_000 })).rows;
    };
    const apply = async (
      of: Collection<AnalyticsPlacement>,
      sequence: number,
      texts: Readonly<Record<string, string | undefined>>,
    ): Promise<void> => {
      const records = Object.entries(texts).map(([id, text]) => ({
        id,
        sequence,
        ...(text === undefined ? {} : { text }),
      }));
      const batches = [makeBatch(of.name, records)];
      await store.apply(scope, of, { batches, checkpoint: sequence });
    };

    test("counts are summed by their key, a rate is that of the newest record", async () => {
      const trends = trendsOf("fortress/vulnerability_trends");
      await store.prepare(scope, trends);
      await store.publish(scope, trends);
      await apply(trends, 1, { a: scan("east", 1, 10, 0.5), b: scan("west", 5, 50, 0.1) });
      await apply(trends, 2, { c: scan("east", 2, 20, 0.25) });
      expect(await totals("vulnerability_trends")).toEqual([
        ["east", 3, 30, 0.25],
        ["west", 5, 50, 0.1],
      ]);
      const statement = "SELECT * FROM fortress.vulnerability_trends";
      const { columns } = await store.sql(scope, { statement, rowsMax: 10, timeMs: 5_000 });
      expect(columns.map(({ name }) => name)).toEqual([
        "cluster_id",
        "critical_count",
        "low_count",
        "remediation_rate",
        "scan_date",
      ]);
    });

    test("a repeated delivery adds nothing, a changed or deleted record takes back what it added", async () => {
      const trends = trendsOf("fortress/changed_trends");
      await store.prepare(scope, trends);
      await store.publish(scope, trends);
      await apply(trends, 1, { a: scan("east", 1, 10), b: scan("east", 2, 20, 0.5) });
      await apply(trends, 1, { a: scan("east", 1, 10), b: scan("east", 2, 20, 0.5) });
      expect(await totals("changed_trends")).toEqual([["east", 3, 30, 0.5]]);
      await apply(trends, 2, { a: scan("east", 100, 0) });
      expect(await totals("changed_trends")).toEqual([["east", 102, 20, null]]);
      await apply(trends, 3, { a: undefined });
      expect(await totals("changed_trends")).toEqual([["east", 2, 20, 0.5]]);
      await apply(trends, 4, { b: undefined });
      expect(await totals("changed_trends")).toEqual([]);
    });

    test("grouping goes by the rows, not by their totals", async () => {
      const trends = trendsOf("fortress/grouped_trends");
      await store.prepare(scope, trends);
      await apply(trends, 1, { a: scan("east", 1, 10), b: scan("east", 2, 20) });
      const { rows } = await store.aggregate(scope, trends, {
        groupBy: ["cluster_id"],
        measures: { scans: { fn: "count" }, critical: { fn: "max", column: "critical_count" } },
        limit: 10,
      });
      expect(rows).toEqual([{ cluster_id: "east", scans: 2, critical: 2 }]);
    });

    test("totals of columns that are none or hold no numbers are refused", async () => {
      for (const [name, wrong] of Object.entries({
        none: { by: ["none"], sum: ["low_count"] },
        text: { by: ["scan_date"], sum: ["cluster_id"] },
        both: { by: ["low_count"], sum: ["low_count"] },
        nothing: { by: [], sum: ["low_count"] },
      })) {
        const type = `fortress/${name}`;
        const placements = { [type]: { ...TRENDS, totals: wrong } };
        await expect(
          store.prepare(scope, { name: type, generation: 1, placements }),
        ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      }
    });
  });
}
