import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";
import { THREAT_LABELS } from "./threat-labels.ts";

const schema = z.strictObject({
  stix_id: z.string(),
  stix_type: z.string(),
  spec_version: z.string().optional(),
  name: z.string().optional(),
  description: z.string().optional(),
  created_at: z.string().optional(),
  modified_at: z.string().optional(),
  revoked: z.boolean().optional(),
  /** The catalogue's own id: `T1059`, `CVE-2024-7264`. */
  external_id: z.string().optional(),
  pattern: z.string().optional(),
  labels: z.array(z.string()).optional(),
  kill_chain_phases: z.array(z.string()).optional(),
  references: z.array(z.string()).optional(),
  /** In which ways the object departs from the STIX specification. */
  deviations: z.array(z.string()).optional(),
  details: freeForm.optional(),
});

/** A piece of threat intelligence: an actor, a technique, an indicator, or any other STIX object. */
export const threatIntelligence: RecordType = defineRecordType({
  name: "fortress/threat_intelligence",
  version: 1,
  title: "An actor, a technique, an indicator, or another object of threat intelligence.",
  schema,
  id: { key: ["stix_id"] },
  mode: "versioned",
  observedAt: "modified_at",
  placements: {
    document: { indexes: [["stix_id"], ["stix_type"], ["external_id"]] },
    search: {
      fields: {
        name: { from: "name", weight: 3 },
        external_id: { from: "external_id", weight: 3 },
        description: { from: "description" },
        pattern: { from: "pattern" },
      },
      filters: {
        stix_type: "stix_type",
        kill_chain_phases: { path: "kill_chain_phases[]", take: "all" },
      },
    },
    graph: {
      nodes: Object.entries(THREAT_LABELS).map(([stixType, label]) => ({
        label,
        id: { path: "stix_id", where: { path: "stix_type", equals: stixType } } as const,
        properties: {
          name: { type: "text", from: "name" },
          external_id: { type: "text", from: "external_id" },
        } as const,
      })),
    },
  },
});
