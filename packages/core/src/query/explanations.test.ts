import { afterEach, beforeEach, expect, test } from "vitest";

import type { Explanation } from "../reports.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt, attempts } from "../testing/sample-types.ts";

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation();
  await installation.custody.commit(scope, [
    { type: attempts.name, put: [{ fields: attempt("a1", { model: "aurora" }) }] },
  ]);
});
afterEach(() => installation[Symbol.asyncDispose]());

test("every store that is asked questions tells how it would answer them", async () => {
  const { explain } = installation.custody;
  const type = attempts.name;
  const bounds = { rowsMax: 10, timeMs: 10_000 };
  const told: readonly Explanation[] = [
    await explain.find(scope, type, { filter: { model: "aurora" } }),
    await explain.search(scope, type, { query: "hello" }),
    await explain.series(scope, type, {
      measurement: "attempts",
      from: 0,
      to: 86_400_000,
      bucketMs: 3_600_000,
      values: { n: { field: "score", fn: "count" } },
    }),
    await explain.aggregate(scope, type, {
      groupBy: ["model"],
      measures: { n: { fn: "count" } },
      limit: 10,
    }),
    await explain.graph(scope, { statement: "MATCH (n) RETURN count(*)", ...bounds }),
    await explain.sql(scope, `SELECT count(*) FROM ${type.replace("/", ".")}`),
  ];
  expect(told.map(({ role, engine }) => [role, engine])).toEqual([
    ["document", "sqlite"],
    ["search", "sqlite"],
    ["series", "duckdb"],
    ["analytics", "duckdb"],
    ["graph", "ladybug"],
    ["analytics", "duckdb"],
  ]);
  expect(told.filter(({ plan }) => plan.length === 0)).toEqual([]);
  expect(told[0]).toMatchObject({ collection: type, generation: 1 });
  expect(told[0]?.plan.join("\n")).toContain("SEARCH d USING INDEX");
});
