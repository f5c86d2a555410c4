import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { describeProjection } from "../testing/conformance-projection.ts";
import type { ProjectionFixture } from "../testing/conformance-projection.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { SAMPLE_CASE } from "./conformance-case.ts";
import { describeFilling } from "./conformance-fill.ts";
import { describeQueries } from "./conformance-query.ts";
import { describeRollups } from "./conformance-rollup.ts";
import type { SeriesPlacements, SeriesStore } from "./port.ts";

/** The contract of every series engine. An engine is done when this passes unedited. */
export function describeSeries(engine: string, fixture: ProjectionFixture<SeriesStore>): void {
  describe(`series: ${engine}`, () => {
    describeProjection<SeriesPlacements, SeriesStore>(fixture, SAMPLE_CASE);

    describe("reading", () => {
      let home: TemporaryDirectory;
      let store: SeriesStore;
      // One store for all: what each group of tests needs lies in a tenant of its own.
      beforeAll(async () => {
        home = await makeTemporaryDirectory();
        store = await fixture.open(home.path);
      });
      afterAll(async () => {
        await store[Symbol.asyncDispose]();
        await home[Symbol.asyncDispose]();
      });
      describeQueries(() => store);
      describeFilling(() => store);
      describeRollups(() => store);

      test("the store says what it can do and how much", () => {
        expect(store.role).toBe("series");
        expect(store.engine).toBe(engine);
        expect(store.limits.bucketsMax).toBeGreaterThanOrEqual(10_000);
      });
    });
  });
}
