import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  target: z.string(),
  component: z.string(),
  /** Components it needs; an empty list says that it needs none. */
  depends_on: z.array(z.string()).optional(),
  /** Specifications it implements (CycloneDX 1.6). */
  provides: z.array(z.string()).optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** What one component of a target depends on, as its bill of materials says. */
export const componentDependencies: RecordType = defineRecordType({
  name: "fortress/component_dependencies",
  version: 1,
  title: "What one component of a target depends on.",
  schema,
  id: { key: ["target", "component", "occurrence"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["target"], ["component"]] },
    graph: {
      nodes: [
        { label: "Component", id: "component" },
        { label: "Component", id: { path: "depends_on[]", take: "all" } },
      ],
      edges: [
        {
          type: "DEPENDS_ON",
          from: { label: "Component", id: "component" },
          to: { label: "Component", id: { path: "depends_on[]", take: "all" } },
        },
      ],
    },
  },
});
