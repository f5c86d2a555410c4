import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  timestamp: z.string(),
  cluster_id: z.string(),
  event_type: z.string(),
  /** 0 to 255; the source decides what its steps mean. */
  severity: z.int().min(0).max(255),
  threat_score: z.number(),
  indicators: z.array(z.string()),
  metadata: freeForm.optional(),
});

/** What a cluster's detections measured, one row an event, for grouping over many. */
export const securityAnalytics: RecordType = defineRecordType({
  name: "fortress/security_analytics",
  version: 1,
  title: "One security event of a cluster, as analytics count it.",
  schema,
  id: { content: true },
  mode: "append",
  observedAt: "timestamp",
  placements: {
    analytics: {
      columns: {
        timestamp: { type: "timestamp", from: "timestamp" },
        cluster_id: { type: "text", from: "cluster_id" },
        event_type: { type: "text", from: "event_type" },
        severity: { type: "integer", from: "severity" },
        threat_score: { type: "real", from: "threat_score" },
        indicators: { type: "text[]", from: { path: "indicators[]", take: "all" } },
        metadata: { type: "json", from: "metadata" },
      },
      order: ["timestamp", "cluster_id"],
    },
  },
});
