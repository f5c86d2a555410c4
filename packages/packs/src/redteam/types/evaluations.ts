import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  session_id: z.string(),
  observed_at: z.string().optional(),
  model: z.string().optional(),
  probe: z.string(),
  detector: z.string(),
  passed: z.number().optional(),
  fails: z.number().optional(),
  nones: z.number().optional(),
  /** Outputs that were judged; the older `total` is kept here too. */
  total_evaluated: z.number().optional(),
  total_processed: z.number().optional(),
  /** Judged outputs that did not pass, from 0 to 1. */
  attack_success_rate: z.number().optional(),
  confidence_lower: z.number().optional(),
  confidence_upper: z.number().optional(),
  details: freeForm.optional(),
});

/** How a model did against one probe in the eyes of one detector, in one run. */
export const evaluations: RecordType = defineRecordType({
  name: "redteam/evaluations",
  version: 1,
  title: "The result of one probe by one detector in one run.",
  schema,
  id: { key: ["session_id", "probe", "detector"] },
  mode: "versioned",
  observedAt: "observed_at",
  placements: {
    document: { indexes: [["session_id"], ["probe"]] },
    series: [
      {
        measurement: "evaluations",
        tags: { model: "model", probe: "probe", detector: "detector" },
        fields: {
          passed: "passed",
          total_evaluated: "total_evaluated",
          attack_success_rate: "attack_success_rate",
        },
      },
    ],
    graph: {
      nodes: [
        { label: "Probe", id: "probe" },
        { label: "Detector", id: "detector" },
      ],
      edges: [
        {
          type: "JUDGED_BY",
          from: { label: "Probe", id: "probe" },
          to: { label: "Detector", id: "detector" },
        },
      ],
    },
  },
});
