import type { AnalyticsPlacement } from "@custody/contract/placement";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { describeProjection } from "../testing/conformance-projection.ts";
import type { ProjectionFixture } from "../testing/conformance-projection.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { describeAggregates } from "./conformance-aggregate.ts";
import { SCAN_CASE } from "./conformance-case.ts";
import type { SqlDialect } from "./conformance-dialect.ts";
import { describeFilters } from "./conformance-filter.ts";
import { describePublishing } from "./conformance-publish.ts";
import { describeSimilarity } from "./conformance-similar.ts";
import { describeSql } from "./conformance-sql.ts";
import { describeSqlRefusals } from "./conformance-sql-refusals.ts";
import { describeTotals } from "./conformance-totals.ts";
import type { AnalyticsStore } from "./port.ts";

/** The contract of every analytics engine. An engine is done when this passes unedited. */
export function describeAnalytics(
  engine: string,
  fixture: ProjectionFixture<AnalyticsStore>,
  dialect: SqlDialect,
): void {
  describe(`analytics: ${engine}`, () => {
    describeProjection<AnalyticsPlacement, AnalyticsStore>(fixture, SCAN_CASE);

    describe("reading", () => {
      let home: TemporaryDirectory;
      let store: AnalyticsStore;
      // One store for all: what each group of tests needs lies in a tenant of its own.
      beforeAll(async () => {
        home = await makeTemporaryDirectory();
        store = await fixture.open(home.path);
      });
      afterAll(async () => {
        await store[Symbol.asyncDispose]();
        await home[Symbol.asyncDispose]();
      });
      describeAggregates(() => store);
      describeFilters(() => store);
      describeSimilarity(() => store);
      describePublishing(() => store, dialect);
      describeTotals(() => store);
      describeSql(() => store, dialect);
      describeSqlRefusals(() => store, dialect);

      test("the store says what it can do and how much", () => {
        expect(store.role).toBe("analytics");
        expect(store.engine).toBe(engine);
        expect(store.limits.rowsMax).toBeGreaterThanOrEqual(10_000);
        expect(store.limits.sqlBytesMax).toBeGreaterThanOrEqual(10_000);
      });
    });
  });
}
