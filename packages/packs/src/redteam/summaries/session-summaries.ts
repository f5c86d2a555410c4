import { defineSummary } from "@custody/contract/summary";
import type { SummaryDeclaration } from "@custody/contract/summary";

import { sessionEvidence } from "../types/session-evidence.ts";

/** What a red-team session comes to: attempts, refusals, hits by detector, probe and vulnerability. */
export const sessionSummaries: SummaryDeclaration = defineSummary(sessionEvidence, {
  name: "redteam/session_summaries",
  version: 1,
  title: "Counts and success rates of one red-team session.",
  key: { session_id: "session_id", model: "model" },
  measures: {
    attempts: { count: true },
    refusals: {
      count: true,
      where: {
        value: {
          path: "scores[].value",
          where: { path: "scores[].scorer", equals: "refusal" },
        },
        isIn: [true],
      },
    },
    tokens: { sum: "tokens" },
    latency_ms: { sum: "latency_ms" },
    max_harm: {
      max: {
        path: "scores[].value",
        take: "max",
        where: { path: "scores[].scorer", equals: "harm_likert" },
      },
    },
    // Success rates are hits by tests: of a detector, of a vulnerability.
    tests_by_probe: { countBy: "probe" },
    tests_by_detector: { countBy: { path: "scores[].scorer", take: "all" } },
    hits_by_detector: {
      countBy: {
        path: "scores[].scorer",
        take: "all",
        where: { path: "scores[].is_hit", equals: true },
      },
    },
    tests_by_vulnerability: { countBy: { path: "tested_vulnerability_ids[]", take: "all" } },
    hits_by_vulnerability: { countBy: { path: "vulnerability_ids[]", take: "all" } },
    harm_likert: {
      histogram: {
        path: "scores[].value",
        where: { path: "scores[].scorer", equals: "harm_likert" },
      },
      edges: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    },
  },
});
