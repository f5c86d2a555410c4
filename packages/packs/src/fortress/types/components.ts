import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  /** The package URL, or group, name and version: the graph's node. */
  component: z.string(),
  target: z.string(),
  target_kind: z.string().optional(),
  location: z.string().optional(),
  /** `library`, `application`, `operating-system`, … as CycloneDX names them. */
  kind: z.string().optional(),
  name: z.string().optional(),
  group: z.string().optional(),
  version: z.string().optional(),
  purl: z.string().optional(),
  cpe: z.string().optional(),
  /** How the document itself refers to the component. */
  reference: z.string().optional(),
  /** The component that it is nested in. */
  parent: z.string().optional(),
  supplier: z.string().optional(),
  licences: z.array(z.string()).optional(),
  /** References, as the document gives them. */
  depends_on: z.array(z.string()).optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A component that a target is made of; a later bill of materials of the target updates it. */
export const components: RecordType = defineRecordType({
  name: "fortress/components",
  version: 1,
  title: "A component that a target is made of.",
  schema,
  id: { key: ["target", "location", "kind", "parent", "component", "occurrence"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["component"], ["target"], ["name"]] },
    search: {
      fields: {
        name: { from: "name", weight: 2 },
        purl: { from: "purl" },
        group: { from: "group" },
      },
      filters: { target: "target", kind: "kind", licences: { path: "licences[]", take: "all" } },
    },
    graph: {
      nodes: [
        {
          label: "Image",
          id: { path: "target", where: { path: "target_kind", equals: "container_image" } },
        },
        {
          label: "Component",
          id: "component",
          properties: {
            name: { type: "text", from: "name" },
            version: { type: "text", from: "version" },
            kind: { type: "text", from: "kind" },
          },
        },
      ],
      edges: [
        {
          type: "CONTAINS",
          from: {
            label: "Image",
            id: { path: "target", where: { path: "target_kind", equals: "container_image" } },
          },
          to: { label: "Component", id: "component" },
        },
      ],
    },
  },
});
