import { readdirSync, readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { applyPatch, parsePatch } from "./bugs/patch.ts";
import { parseTable, withSeed } from "./bugs/table.ts";
import type { Fault } from "./faults.ts";
import { drawPlan } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { selectFrom, shrink, wholeSelection } from "./shrink.ts";
import { simulate } from "./simulation.ts";

const SEEDS = Array.from({ length: 40 }, (_, index) => index + 1);
const BUGS = new URL("./bugs/", import.meta.url);

test.each(SEEDS)("seed %i breaks no invariant", async (seed) => {
  const { failure, events } = await simulate(drawPlan(seed));
  expect(failure?.message).toBeUndefined();
  expect(events).toBeGreaterThan(0);
});

test("the same seed gives the same trace, and another seed another", async () => {
  const hashes: string[] = [];
  for (const seed of [5, 5, 6, 6]) hashes.push((await simulate(drawPlan(seed))).traceHash);
  expect(hashes[1]).toBe(hashes[0]);
  expect(hashes[3]).toBe(hashes[2]);
  expect(hashes[2]).not.toBe(hashes[0]);
});

test("a plan of some steps and faults has just these, and they are as they were among all", () => {
  const plan = drawPlan(7);
  const [first, second] = plan.steps;
  const chosen = selectFrom(plan, { steps: [second?.number ?? 0], faults: [] });
  expect(chosen.steps).toEqual([second]);
  expect(chosen.faults).toEqual([]);
  expect(first).toBeDefined();
  expect(selectFrom(plan, wholeSelection(plan))).toEqual(plan);
});

test("shrinking leaves the steps and the fault without which nothing fails, and no other", async () => {
  const seed = Array.from({ length: 50 }, (_, index) => index + 1).find((number) => {
    const { steps, faults } = drawPlan(number);
    return steps.length > 20 && faults.length > 3;
  });
  const plan = drawPlan(seed ?? 0);
  const fails = async (part: Plan): Promise<boolean> =>
    part.faults.includes(plan.faults[2] as Fault) &&
    [3, 11].every((wanted) => part.steps.some(({ number }) => number === wanted));
  const shrunk = await shrink(plan, fails, 500);
  expect(shrunk.faults).toEqual([2]);
  expect(shrunk.steps.toSorted((left, right) => left - right)).toEqual([3, 11]);
});

test("every planted bug has its patch, and every patch its line in the table", () => {
  const bugs = parseTable(readFileSync(new URL("bugs.tsv", BUGS), "utf8"));
  const patches = readdirSync(BUGS).filter((name) => name.endsWith(".patch"));
  expect(bugs.map(({ name }) => `${name}.patch`).sort()).toEqual(patches.sort());
  expect(bugs.length).toBeGreaterThanOrEqual(25);
  expect(
    bugs.filter(({ seedsMax, knownSeed }) => !(knownSeed > 0 && knownSeed <= seedsMax)),
  ).toEqual([]);
});

test.each(readdirSync(BUGS).filter((name) => name.endsWith(".patch")))(
  "what %s changes is still there, once, and another thing afterwards",
  (name) => {
    const files = parsePatch(readFileSync(new URL(name, BUGS), "utf8"));
    expect(files.flatMap(({ hunks }) => hunks).length).toBeGreaterThan(0);
    for (const file of files) {
      const text = readFileSync(new URL(`../../${file.path}`, import.meta.url), "utf8");
      expect(applyPatch(text, file)).not.toBe(text);
    }
  },
);

test("a patch finds its place by fewer lines where those around have changed", () => {
  const [patch = { path: "", hunks: [] }] = parsePatch(
    "--- a/x.ts\n+++ b/x.ts\n@@ -1,3 +1,3 @@\n zero\n one\n-two\n+three\n four\n",
  );
  expect(patch).toEqual({ path: "x.ts", hunks: [[" zero", " one", "-two", "+three", " four"]] });
  expect(applyPatch("zero\none\ntwo\nfour\n", patch)).toBe("zero\none\nthree\nfour\n");
  expect(applyPatch("none\none\ntwo\nfive\n", patch)).toBe("none\none\nthree\nfive\n");
});

test("a patch whose place is gone, or is there twice, is refused", () => {
  const [patch = { path: "", hunks: [] }] = parsePatch(
    "--- a/x.ts\n+++ b/x.ts\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n",
  );
  expect(() => applyPatch("one\nthree\n", patch)).toThrow("x.ts has no place");
  expect(() => applyPatch("one\ntwo\none\ntwo\n", patch)).toThrow("x.ts has 2 places");
});

test("the seed that found a bug is noted in its line, and in no other", () => {
  const text = "# about\nfirst\t200\t7\twork-ends\tone\nsecond\t300\t9\twork-ends\ttwo\n";
  const noted = withSeed(text, "second", 41);
  expect(noted).toBe("# about\nfirst\t200\t7\twork-ends\tone\nsecond\t300\t41\twork-ends\ttwo\n");
  expect(parseTable(noted)[1]).toEqual({
    name: "second",
    seedsMax: 300,
    knownSeed: 41,
    invariants: ["work-ends"],
    what: "two",
  });
});
