import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  /** The report's own id, or the SHA-256 of its file. */
  scan_id: z.string(),
  tool: z.string(),
  tool_version: z.string().optional(),
  target: z.string(),
  /** What the target is: `container_image`, `filesystem`, `repository`, `kubernetes`, … */
  target_kind: z.string().optional(),
  scanned_at: z.string().optional(),
  findings: z.int(),
  critical: z.int(),
  high: z.int(),
  medium: z.int(),
  low: z.int(),
  vulnerabilities: z.int(),
  misconfigurations: z.int(),
  secrets: z.int(),
  licences: z.int(),
  components: z.int(),
  suppressed: z.int(),
  /** What was looked at, with the tool's own words on each part. */
  results: z.array(freeForm).optional(),
  details: freeForm.optional(),
});

/** One scan of one target: what was found, in numbers. The findings are records of their own. */
export const scanResults: RecordType = defineRecordType({
  name: "fortress/scan_results",
  version: 1,
  title: "One scan of one target, in numbers.",
  schema,
  id: { key: ["scan_id"] },
  mode: "versioned",
  observedAt: "scanned_at",
  placements: {
    document: { indexes: [["target"], ["scanned_at"]] },
    relational: {
      table: "scan_results",
      columns: {
        scan_id: { type: "text", from: "scan_id" },
        tool: { type: "text", from: "tool" },
        target: { type: "text", from: "target" },
        target_kind: { type: "text", from: "target_kind" },
        scanned_at: { type: "timestamp", from: "scanned_at" },
        findings: { type: "integer", from: "findings" },
        critical: { type: "integer", from: "critical" },
        high: { type: "integer", from: "high" },
      },
      indexes: [["target"], ["scanned_at"]],
    },
    series: [
      {
        measurement: "scan_metrics",
        tags: { tool: "tool", target: "target", target_kind: "target_kind" },
        fields: {
          findings_count: "findings",
          critical_count: "critical",
          high_count: "high",
          medium_count: "medium",
          low_count: "low",
        },
      },
    ],
    stream: {
      topic: "fortress.scans.completed",
      facts: ["scan_id", "tool", "target", "findings", "critical", "high"],
    },
  },
});
