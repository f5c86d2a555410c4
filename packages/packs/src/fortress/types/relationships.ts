import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";
import { THREAT_LABELS, THREAT_RELATIONS } from "./threat-labels.ts";

const schema = z.strictObject({
  stix_id: z.string(),
  relationship_type: z.string(),
  source_ref: z.string(),
  target_ref: z.string(),
  /** Types at both ends around the relationship: `intrusion-set uses malware`. */
  relation: z.string(),
  description: z.string().optional(),
  created_at: z.string().optional(),
  modified_at: z.string().optional(),
  revoked: z.boolean().optional(),
  deviations: z.array(z.string()).optional(),
  details: freeForm.optional(),
});

/** How two objects of threat intelligence are related: an actor uses a technique. */
export const relationships: RecordType = defineRecordType({
  name: "fortress/relationships",
  version: 1,
  title: "How two objects of threat intelligence are related.",
  schema,
  id: { key: ["stix_id"] },
  mode: "versioned",
  observedAt: "modified_at",
  placements: {
    document: { indexes: [["source_ref"], ["target_ref"], ["relation"]] },
    graph: {
      nodes: [],
      edges: THREAT_RELATIONS.map(([source, verb, target]) => {
        const where = { path: "relation", equals: `${source} ${verb} ${target}` } as const;
        return {
          type: verb.toUpperCase().replaceAll("-", "_"),
          from: { label: THREAT_LABELS[source] ?? source, id: { path: "source_ref", where } },
          to: { label: THREAT_LABELS[target] ?? target, id: { path: "target_ref", where } },
        } as const;
      }),
    },
  },
});
