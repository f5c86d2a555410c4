import { setTimeout as pause } from "node:timers/promises";

import { afterAll, describe, expect, test } from "vitest";

import { memberOf } from "../drivers/opensearch-errors.ts";
import { makeBatch } from "../record-batch.ts";
import { deliver } from "../testing/conformance-projection.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { rawOpensearch } from "../testing/opensearch-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { FINDING, FINDINGS } from "./conformance-case.ts";
import { idsOf, putFindings } from "./conformance-queries.ts";
import { openOpensearchSearch } from "./opensearch.ts";
import { parseSearch } from "./query-language.ts";

const scope = scopeFor("tenant-a");
// The server keeps the last 30 seconds of changes for its copies.
const PURGED_WITHIN_MS = 60_000;

describe.each(["opensearch", "elasticsearch"] as const)("settling %s", (server) => {
  describeOnServer(server, (url) => {
    const raw = rawOpensearch(url);
    afterAll(async () => await raw.drop());

    test(
      "the words of a deleted record leave the index, and then the mark that it was deleted",
      { timeout: PURGED_WITHIN_MS + 10_000 },
      async () => {
        await using home = await makeTemporaryDirectory();
        await using store = await openOpensearchSearch({ url: raw.urlOf(home.path) });
        const index = `${serverName(home.path)}.tenant-a.redteam__finding.g1`;
        const marks = async (): Promise<unknown> => {
          const body = { query: { term: { gone: true } } };
          const found = await raw.send({ method: "POST", path: [index, "_search"], body });
          const hits = memberOf(memberOf(found, "hits"), "hits");
          return Array.isArray(hits) ? hits.map((hit) => memberOf(hit, "_source")) : hits;
        };
        /** The words of the index that are like one: a fuzzy word is explained by them. */
        const words = async (): Promise<readonly string[]> => {
          const query = { expression: parseSearch("title:secretwordz~"), limit: 1 };
          const [, reading = ""] = await store.explain(scope, FINDINGS, query);
          return [...reading.matchAll(/secretword[a-y]/g)].map(([word]) => word);
        };
        await putFindings(store, { a: "secretworda", b: "secretwordb", c: "other" });
        const removal = deliver(FINDING, [{ id: "a", sequence: 4 }]);
        await store.apply(scope, FINDINGS, removal);
        expect(await marks()).toEqual([{ s: 4, gone: true }]);
        expect(await words()).toEqual(["secretworda", "secretwordb"]);
        const until = Date.now() + PURGED_WITHIN_MS;
        for (;;) {
          await store.settle(scope);
          if (JSON.stringify(await marks()) === "[]" || Date.now() > until) break;
          await pause(1_000);
        }
        expect(await marks()).toEqual([]);
        expect(await words()).toEqual(["secretwordb"]);
        expect((await store.statistics(scope)).collections).toEqual([
          { name: FINDING, generation: 1, records: 2 },
        ]);
        const older = [makeBatch(FINDING, [{ id: "a", sequence: 2, text: `{"title":"old"}` }])];
        await store.apply(scope, FINDINGS, { batches: older, checkpoint: 4 });
        expect(await idsOf(store, "old")).toEqual([]);
        await putFindings(store, { a: "again" }, 5);
        expect(await idsOf(store, "again")).toEqual(["a"]);
      },
    );
  });
});
