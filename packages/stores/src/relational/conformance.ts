import { afterEach, beforeEach, describe } from "vitest";

import { describeProjection } from "../testing/conformance-projection.ts";
import type { ProjectionFixture } from "../testing/conformance-projection.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { ATTEMPT_CASE } from "./conformance-case.ts";
import { describeSelect } from "./conformance-select.ts";
import { describeSummaries } from "./conformance-summary.ts";
import { describeSummaryHistories } from "./conformance-summary-history.ts";
import type { RelationalStore, TablePlacement } from "./port.ts";

/** The contract of every engine of relational tables. An engine is done when this passes unedited. */
export function describeRelational(
  engine: string,
  fixture: ProjectionFixture<RelationalStore>,
): void {
  describe(`relational: ${engine}`, () => {
    describeProjection<TablePlacement, RelationalStore>(fixture, ATTEMPT_CASE);
    describe("reading", () => {
      let home: TemporaryDirectory;
      let store: RelationalStore;
      beforeEach(async () => {
        home = await makeTemporaryDirectory();
        store = await fixture.open(home.path);
      });
      afterEach(async () => {
        await store[Symbol.asyncDispose]();
        await home[Symbol.asyncDispose]();
      });
      describeSelect(() => store);
      describeSummaries(() => store);
      describeSummaryHistories(() => store);
    });
  });
}
