import { expect, test } from "vitest";

import { describeVerdict, isRunSpoilt, judge } from "../../testbed/proof.ts";
import type { ServerRun } from "../../testbed/proof.ts";

const redis: ServerRun = {
  name: "redis",
  version: "7.0.15",
  isProven: true,
  count: { passed: 41, failed: 0, skipped: 2 },
};
const missing = "no server can be had from packages; set CUSTODY_TEST_MONGODB_URL";

test.each<{ name: string; run: Partial<ServerRun>; line: string }>([
  { name: "tests passed", run: {}, line: "redis               7.0.15     proven  41 tests" },
  {
    name: "one test failed",
    run: { count: { passed: 40, failed: 1, skipped: 0 } },
    line: "redis               7.0.15     failed: 1 of 41 tests",
  },
  {
    name: "no test asked for it",
    run: { count: undefined },
    line: "redis               7.0.15     not proven: no test ran on it",
  },
  {
    name: "every test was skipped",
    run: { count: { passed: 0, failed: 0, skipped: 43 } },
    line: "redis               7.0.15     not proven: no test ran on it",
  },
  {
    name: "it did not start, whatever the tests say",
    run: { version: undefined, failure: "needs apt-get on the PATH" },
    line: "redis               -          failed: did not start: needs apt-get on the PATH",
  },
  {
    name: "nobody has it",
    run: { name: "mongodb", version: undefined, missing, count: undefined },
    line: `mongodb             -          not proven: ${missing}`,
  },
  {
    name: "somebody gave it",
    run: { name: "mongodb", version: "given" },
    line: "mongodb             given      proven  41 tests",
  },
  {
    name: "it only serves the tests of others",
    run: { name: "toxiproxy", version: "2.5.0", isProven: false, count: undefined },
    line: "toxiproxy           2.5.0      ran: no tests of its own",
  },
])("the line says so when $name", ({ run, line }) => {
  expect(describeVerdict(judge({ ...redis, ...run }))).toBe(line);
});

test.each<{ name: string; run: Partial<ServerRun>; usually: boolean; allDemanded: boolean }>([
  { name: "proven", run: {}, usually: false, allDemanded: false },
  {
    name: "failed",
    run: { count: { passed: 1, failed: 1, skipped: 0 } },
    usually: true,
    allDemanded: true,
  },
  { name: "not started", run: { failure: "port" }, usually: true, allDemanded: true },
  { name: "without a test", run: { count: undefined }, usually: false, allDemanded: true },
  {
    name: "not to be had",
    run: { missing, count: undefined },
    usually: false,
    allDemanded: false,
  },
  {
    name: "there for others",
    run: { isProven: false, count: undefined },
    usually: false,
    allDemanded: false,
  },
])(
  "a server that is $name spoils the run: $usually, with ENGINES=all: $allDemanded",
  ({ run, usually, allDemanded }) => {
    const server = { ...redis, ...run };
    expect(isRunSpoilt(judge(server), server, false)).toBe(usually);
    expect(isRunSpoilt(judge(server), server, true)).toBe(allDemanded);
  },
);
