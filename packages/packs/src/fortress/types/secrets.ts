import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  rule_id: z.string(),
  target: z.string(),
  target_kind: z.string().optional(),
  location: z.string().optional(),
  start_line: z.int().optional(),
  end_line: z.int().optional(),
  category: z.string().optional(),
  severity: z.string().optional(),
  title: z.string().optional(),
  /** The line as the tool shows it, with the secret masked by the tool. */
  match: z.string().optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A secret that lies in the open in a target; a later report of the target updates it. */
export const secrets: RecordType = defineRecordType({
  name: "fortress/secrets",
  version: 1,
  title: "A secret that lies in the open in a target.",
  schema,
  id: { key: ["target", "location", "rule_id", "start_line", "end_line", "match", "occurrence"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["rule_id"], ["target"], ["severity"]] },
    search: {
      fields: { title: { from: "title" }, location: { from: "location" } },
      filters: { severity: "severity", category: "category", target: "target" },
    },
    stream: {
      topic: "fortress.threats.detected",
      facts: ["rule_id", "severity", "target"],
    },
  },
});
