import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  session_id: z.string(),
  /** The attempt's own id, or a SHA-256 over the hit where the tool gives none. */
  attempt_id: z.string(),
  attempt_seq: z.int().optional(),
  /** Which of the attempt's answers it is. */
  attempt_idx: z.int().optional(),
  model: z.string().optional(),
  probe: z.string().optional(),
  detector: z.string().optional(),
  score: z.union([z.number(), z.boolean(), z.string(), z.null()]).optional(),
  goal: z.string().optional(),
  triggers: z.array(z.unknown()).optional(),
  generations_per_prompt: z.number().optional(),
  vulnerability_ids: z.array(z.string()),
  prompt: z.strictObject({
    turns: z.array(
      z.strictObject({
        role: z.string(),
        content: z.string().nullable(),
        details: freeForm.optional(),
      }),
    ),
    details: freeForm.optional(),
  }),
  response: z.strictObject({ content: z.string().nullable(), details: freeForm.optional() }),
  details: freeForm.optional(),
});

/** One answer that a detector took for a success of the attack, from a tool's list of hits. */
export const hits: RecordType = defineRecordType({
  name: "redteam/hits",
  version: 1,
  title: "One answer that a detector took for a successful attack.",
  schema,
  id: { key: ["session_id", "attempt_id", "attempt_seq", "attempt_idx", "probe", "detector"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["session_id"], ["attempt_id"], ["probe"]] },
    search: {
      fields: {
        prompt: { from: { path: "prompt.turns[].content", take: "join" } },
        response: { from: "response.content" },
      },
      filters: { model: "model", probe: "probe", detector: "detector", session_id: "session_id" },
    },
    graph: {
      nodes: [
        { label: "Probe", id: "probe" },
        { label: "Vulnerability", id: { path: "vulnerability_ids[]", take: "all" } },
      ],
      edges: [
        {
          type: "FOUND",
          from: { label: "Probe", id: "probe" },
          to: { label: "Vulnerability", id: { path: "vulnerability_ids[]", take: "all" } },
        },
      ],
    },
  },
});
