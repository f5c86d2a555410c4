import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { SearchPlacement } from "@custody/contract/placement";

import { describeProjection } from "../testing/conformance-projection.ts";
import type { ProjectionFixture } from "../testing/conformance-projection.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { FINDING_CASE } from "./conformance-case.ts";
import { describeFilters } from "./conformance-filters.ts";
import { describeHighlight } from "./conformance-highlight.ts";
import { describeQueries } from "./conformance-queries.ts";
import type { SearchStore } from "./port.ts";

/** The contract of every search engine. An engine is done when this passes unedited. */
export function describeSearch(engine: string, fixture: ProjectionFixture<SearchStore>): void {
  describe(`search: ${engine}`, () => {
    describeProjection<SearchPlacement, SearchStore>(fixture, FINDING_CASE);
    describe("reading", () => {
      let home: TemporaryDirectory;
      let store: SearchStore;
      beforeEach(async () => {
        home = await makeTemporaryDirectory();
        store = await fixture.open(home.path);
      });
      afterEach(async () => {
        await store[Symbol.asyncDispose]();
        await home[Symbol.asyncDispose]();
      });
      describeQueries(() => store);
      describeFilters(() => store);
      describeHighlight(() => store);

      test("the store says what it can do and how much", () => {
        expect(store.role).toBe("search");
        expect(store.engine).toBe(engine);
        expect(store.limits.pageMax).toBeGreaterThanOrEqual(100);
        expect(store.limits.facetsMax).toBeGreaterThanOrEqual(8);
      });
    });
  });
}
