import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { bringUp, enginesNamed, variablesOf } from "../../testbed/bring-up.ts";
import { ENGINES, GIVEN_SERVERS } from "../../testbed/engines/catalogue.ts";
import { describeEngine, exportLines } from "../../testbed/report.ts";
import { makeTemporaryDirectory } from "../../packages/stores/src/testing/temporary-directory.ts";
import { sourceFiles } from "../tidy/tracked-files.ts";

beforeEach(() => {
  for (const { variable } of ENGINES) vi.stubEnv(variable, undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

test("a name brings what it stands on, no name brings everything", () => {
  expect(enginesNamed(["pgbouncer", "redis"]).map(({ name }) => name)).toEqual([
    "postgresql",
    "pgbouncer",
    "redis",
  ]);
  expect(enginesNamed([])).toHaveLength(ENGINES.length);
  expect(() => enginesNamed(["reddis"])).toThrow("no engine is called reddis; there are toxiproxy");
});

test("a server that is given is used as it is, and nothing is started before it", async () => {
  await using home = await makeTemporaryDirectory();
  vi.stubEnv("CUSTODY_TEST_POSTGRESQL_URL", "postgresql://ana@db:5432/x");
  const lines: string[] = [];
  const results = await bringUp(home.path, enginesNamed(["pgbouncer"]), (one) => {
    lines.push(describeEngine(one));
  });
  expect(lines).toEqual([
    "postgresql         given in CUSTODY_TEST_POSTGRESQL_URL",
    "pgbouncer          not started: it stands on the testbed's own postgresql, and another is given",
  ]);
  expect(exportLines(variablesOf(results))).toEqual([
    "export CUSTODY_TEST_POSTGRESQL_URL='postgresql://ana@db:5432/x'",
  ]);
});

test("every server that a test asks for is one that the testbed starts, or knows it cannot", () => {
  const asked = sourceFiles.flatMap(({ text }) =>
    [...text.matchAll(/\bdescribe(?:OnServer|NetworkFaults)(?:<[^>]*>)?\(\s*"(\w+)"/g)].map(
      ([, name = ""]) => `CUSTODY_TEST_${name.toUpperCase()}_URL`,
    ),
  );
  const known = new Set([...ENGINES, ...GIVEN_SERVERS].map(({ variable }) => variable));
  expect(new Set(asked).difference(known)).toEqual(new Set());
});
