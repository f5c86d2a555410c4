import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const message = z.strictObject({
  /** Null where the tool kept an answer without text. */
  content: z.string().nullable(),
  /** What else the tool says of the message: language, attached data, notes. */
  details: freeForm.optional(),
});

const schema = z.strictObject({
  id: z.string(),
  session_id: z.string(),
  /** Left out where the tool keeps no time. */
  observed_at: z.string().optional(),
  model: z.string().optional(),
  probe: z.string().optional(),
  scores: z.array(
    z.strictObject({
      scorer: z.string(),
      type: z.string(),
      value: z.union([z.boolean(), z.number(), z.string(), z.null()]),
      rationale: z.string().optional(),
      /** The answer it scores: 0 is `response`, 1 the first of `further_responses`. */
      output: z.int().optional(),
      /** Whether the score means that the attack succeeded. */
      is_hit: z.boolean().optional(),
    }),
  ),
  /** What the attempt showed the model to be vulnerable to. */
  vulnerability_ids: z.array(z.string()),
  /** What the attempt tried for, whether it succeeded or not. */
  tested_vulnerability_ids: z.array(z.string()).optional(),
  labels: freeForm,
  converters: z.array(z.string()),
  latency_ms: z.number().optional(),
  tokens: z.number().optional(),
  prompt: z.strictObject({
    turns: z.array(message.extend({ role: z.string() })),
    details: freeForm.optional(),
  }),
  response: message.optional(),
  /** Where one prompt was answered more than once: the answers after the first. */
  further_responses: z.array(message.nullable()).optional(),
  goal: z.string().optional(),
  status: z.int().optional(),
  attempt_id: z.string().optional(),
  attempt_seq: z.int().optional(),
  notes: freeForm.optional(),
  /** Everything else the tool wrote about the attempt. */
  details: freeForm.optional(),
});

/** One prompt, its answers, their scores and what they prove: the evidence of a red-team session. */
export const sessionEvidence: RecordType = defineRecordType({
  name: "redteam/session_evidence",
  version: 1,
  title: "One prompt, its answers and their scores in a red-team session.",
  schema,
  id: { field: "id" },
  mode: "append",
  observedAt: "observed_at",
  placements: {
    document: { indexes: [["session_id"], ["observed_at"], ["vulnerability_ids[]"]] },
    search: {
      fields: {
        prompt: { from: { path: "prompt.turns[].content", take: "join" } },
        response: { from: "response.content" },
        further_responses: { from: { path: "further_responses[].content", take: "join" } },
      },
      filters: {
        model: "model",
        probe: "probe",
        session_id: "session_id",
        vulnerability_ids: { path: "vulnerability_ids[]", take: "all" },
      },
    },
    analytics: {
      columns: {
        id: { type: "text", from: "id" },
        session_id: { type: "text", from: "session_id" },
        observed_at: { type: "timestamp", from: "observed_at" },
        model: { type: "text", from: "model" },
        probe: { type: "text", from: "probe" },
        refusal: { type: "boolean", from: scored("refusal") },
        harm_likert: { type: "real", from: scored("harm_likert") },
        policy_breach: { type: "real", from: scored("policy_breach") },
        vulnerabilities: { type: "integer", from: { path: "vulnerability_ids[]", take: "count" } },
        first_vulnerability: { type: "text", from: "vulnerability_ids[]" },
        operator: { type: "text", from: "labels.operator" },
        operation: { type: "text", from: "labels.operation" },
        language: { type: "text", from: "labels.language" },
        converters: { type: "integer", from: { path: "converters[]", take: "count" } },
        latency_ms: { type: "integer", from: "latency_ms" },
        tokens: { type: "integer", from: "tokens" },
        turns: { type: "integer", from: { path: "prompt.turns[]", take: "count" } },
        prompt_chars: { type: "integer", from: { path: "prompt.turns[].content", take: "length" } },
        response_chars: { type: "integer", from: { path: "response.content", take: "length" } },
        hits: { type: "integer", from: { path: "scores[].is_hit", take: "sum" } },
      },
      order: ["observed_at"],
    },
    series: [
      {
        measurement: "session_evidence",
        tags: { model: "model", probe: "probe" },
        fields: {
          latency_ms: "latency_ms",
          tokens: "tokens",
          refusal: scored("refusal"),
          harm_likert: scored("harm_likert"),
          policy_breach: scored("policy_breach"),
        },
      },
    ],
    graph: {
      nodes: [
        { label: "Session", id: "session_id" },
        { label: "Model", id: "model" },
        { label: "Probe", id: "probe" },
        { label: "Vulnerability", id: { path: "vulnerability_ids[]", take: "all" } },
      ],
      edges: [
        {
          type: "TESTED",
          from: { label: "Session", id: "session_id" },
          to: { label: "Model", id: "model" },
        },
        {
          type: "USED",
          from: { label: "Session", id: "session_id" },
          to: { label: "Probe", id: "probe" },
        },
        {
          type: "FOUND",
          from: { label: "Probe", id: "probe" },
          to: { label: "Vulnerability", id: { path: "vulnerability_ids[]", take: "all" } },
        },
      ],
    },
    stream: {
      topic: "redteam.evidence.recorded",
      facts: ["session_id", "model", "probe", "observed_at"],
    },
  },
  lifecycle: { hot: "P90D", cold: "P7Y", then: "dispose", from: "observedAt" },
});

/** The value of the first score by one scorer. */
function scored(scorer: string): {
  readonly path: "scores[].value";
  readonly where: { readonly path: "scores[].scorer"; readonly equals: string };
} {
  return { path: "scores[].value", where: { path: "scores[].scorer", equals: scorer } };
}
