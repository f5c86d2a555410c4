import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  check_id: z.string(),
  target: z.string(),
  target_kind: z.string().optional(),
  location: z.string().optional(),
  resource: z.string().optional(),
  start_line: z.int().optional(),
  end_line: z.int().optional(),
  severity: z.string().optional(),
  /** `fail`, `pass` or `exception`, in lower case. */
  status: z.string().optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  message: z.string().optional(),
  resolution: z.string().optional(),
  references: z.array(z.string()).optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A setting of a target that breaks a rule; a later report of the target updates it. */
export const misconfigurations: RecordType = defineRecordType({
  name: "fortress/misconfigurations",
  version: 1,
  title: "A setting of a target that breaks a rule.",
  schema,
  id: {
    key: ["target", "location", "check_id", "resource", "start_line", "message", "occurrence"],
  },
  mode: "versioned",
  placements: {
    document: { indexes: [["check_id"], ["target"], ["severity"]] },
    search: {
      fields: {
        title: { from: "title", weight: 2 },
        message: { from: "message" },
        description: { from: "description" },
        resolution: { from: "resolution" },
      },
      filters: { severity: "severity", status: "status", target: "target", check_id: "check_id" },
    },
    stream: {
      topic: "fortress.compliance.violations",
      facts: ["check_id", "severity", "status", "target"],
    },
  },
});
