import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  service: z.string(),
  target: z.string(),
  name: z.string().optional(),
  group: z.string().optional(),
  version: z.string().optional(),
  reference: z.string().optional(),
  parent: z.string().optional(),
  endpoints: z.array(z.string()).optional(),
  authenticated: z.boolean().optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A service that a target calls or offers, as its bill of materials says. */
export const services: RecordType = defineRecordType({
  name: "fortress/services",
  version: 1,
  title: "A service that a target calls or offers.",
  schema,
  id: { key: ["target", "parent", "service", "occurrence"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["target"], ["name"]] },
    graph: { nodes: [{ label: "Service", id: "service" }] },
  },
});
