import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  session_id: z.string(),
  tool: z.string(),
  tool_version: z.string().optional(),
  /** What was tested, as evidence names it. */
  model: z.string().optional(),
  target_type: z.string().optional(),
  target_name: z.string().optional(),
  probe_spec: z.string().optional(),
  /** RFC 3339; times without a zone are read as UTC. */
  started_at: z.string().optional(),
  ended_at: z.string().optional(),
  /** Attempts, each counted once, and evaluations that the report holds. */
  attempts: z.int().optional(),
  evaluations: z.int().optional(),
  is_complete: z.boolean().optional(),
  /** The tool's own entries about the run, as it wrote them. */
  setup: freeForm.optional(),
  config: freeForm.optional(),
  init: freeForm.optional(),
  completion: freeForm.optional(),
});

/** One run of a red-team tool: what was tested, with which settings, and how it ended. */
export const testSessions: RecordType = defineRecordType({
  name: "redteam/test_sessions",
  version: 1,
  title: "One run of a red-team tool with its settings and its outcome.",
  schema,
  id: { key: ["session_id"] },
  mode: "versioned",
  observedAt: "started_at",
  placements: {
    document: { indexes: [["session_id"], ["model"]] },
    relational: {
      table: "test_sessions",
      columns: {
        session_id: { type: "text", from: "session_id" },
        tool: { type: "text", from: "tool" },
        tool_version: { type: "text", from: "tool_version" },
        model: { type: "text", from: "model" },
        started_at: { type: "timestamp", from: "started_at" },
        ended_at: { type: "timestamp", from: "ended_at" },
        attempts: { type: "integer", from: "attempts" },
      },
      indexes: [["session_id"]],
    },
    graph: {
      nodes: [
        {
          label: "Session",
          id: "session_id",
          properties: {
            tool: { type: "text", from: "tool" },
            started_at: { type: "timestamp", from: "started_at" },
          },
        },
        { label: "Model", id: "model" },
      ],
      edges: [
        {
          type: "TESTED",
          from: { label: "Session", id: "session_id" },
          to: { label: "Model", id: "model" },
        },
      ],
    },
    stream: { topic: "redteam.sessions.recorded", facts: ["session_id", "tool", "model"] },
  },
});
