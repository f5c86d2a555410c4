import { expect, test } from "vitest";

import { planLines } from "./mongodb-plan.ts";

test("a plan is a line for each stage, those that feed it below", () => {
  const inputStage = { stage: "IXSCAN", indexName: "values0", isMultiKey: true };
  const winningPlan = { stage: "FETCH", filter: { first: { $lte: 3n } }, inputStage };
  expect(planLines({ queryPlanner: { winningPlan } })).toEqual([
    'stage FETCH, filter {"first":{"$lte":"3"}}',
    "  stage IXSCAN, indexName values0, isMultiKey true",
  ]);
});

test("the plan of MongoDB's newer engine is told in the words of the older", () => {
  const queryPlan = { stage: "COLLSCAN", planNodeId: 1, direction: "forward" };
  const winningPlan = { queryPlan, slotBasedPlan: { slots: "…", stages: "…" } };
  expect(planLines({ queryPlanner: { winningPlan } })).toEqual([
    "stage COLLSCAN, direction forward",
  ]);
});

test("a sharded cluster's plan has those of its shards", () => {
  const shards = [
    { shardName: "one", winningPlan: { stage: "COLLSCAN" } },
    { shardName: "two", winningPlan: { stage: "EOF" } },
  ];
  expect(planLines({ queryPlanner: { winningPlan: { stage: "SHARD_MERGE", shards } } })).toEqual([
    "stage SHARD_MERGE",
    "  shardName one",
    "    stage COLLSCAN",
    "  shardName two",
    "    stage EOF",
  ]);
});
