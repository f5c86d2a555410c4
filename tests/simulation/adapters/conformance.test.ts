import { join } from "node:path";

import type { ProjectedRole } from "@custody/core/stores";
import { SCAN_CASE } from "@custody/stores/analytics/conformance-case";
import { describeBlob } from "@custody/stores/blob/conformance";
import { describeJournal } from "@custody/stores/relational/conformance-journal";
import { ATTEMPT_CASE } from "@custody/stores/relational/conformance-case";
import type { JournalStore } from "@custody/stores/relational/journal";
import { FINDING_CASE } from "@custody/stores/search/conformance-case";
import { SAMPLE_CASE } from "@custody/stores/series/conformance-case";
import { describeProjection } from "@custody/stores/testing/conformance-projection";
import type { ProjectionCase } from "@custody/stores/testing/conformance-projection";
import { makeTemporaryDirectory } from "@custody/stores/testing/temporary-directory";
import { describe } from "vitest";

import { openKeptBlob, openKeptJournal, openKeptProjected } from "./kept-in-file.ts";

// The stores that simulations run on keep the same promises as the engines: the suites say so.
const module = new URL("./kept-in-file.ts", import.meta.url).href;

describeJournal("simulated", async () => {
  const directory = await makeTemporaryDirectory();
  const path = join(directory.path, "journal");
  let store: JournalStore = openKeptJournal(path);
  return {
    get store() {
      return store;
    },
    async reopen() {
      await store[Symbol.asyncDispose]();
      return (store = openKeptJournal(path));
    },
    childStore: `(await import("${module}")).openKeptJournal(${JSON.stringify(path)})`,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});

const CASES: readonly (readonly [ProjectedRole, ProjectionCase<unknown>])[] = [
  ["search", FINDING_CASE as ProjectionCase<unknown>],
  ["analytics", SCAN_CASE as ProjectionCase<unknown>],
  ["series", SAMPLE_CASE as ProjectionCase<unknown>],
  ["relational", ATTEMPT_CASE as ProjectionCase<unknown>],
];

for (const [role, one] of CASES) {
  describe(`${role}: simulated`, () => {
    describeProjection(
      {
        open: (home, options) => openKeptProjected(role, home, options !== undefined),
        child: { module, open: `engine.openKeptProjected("${role}", home, true)` },
      },
      one,
    );
  });
}

describeBlob("simulated", async ({ bytesMax }) => {
  const directory = await makeTemporaryDirectory();
  const path = join(directory.path, "disk");
  return {
    store: openKeptBlob(path, bytesMax),
    reopen: async () => openKeptBlob(path, bytesMax),
    childStore: `(await import("${module}")).openKeptBlob(${JSON.stringify(path)}, ${bytesMax})`,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});
