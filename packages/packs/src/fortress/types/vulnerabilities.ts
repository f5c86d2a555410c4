import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  vulnerability_id: z.string(),
  target: z.string(),
  target_kind: z.string().optional(),
  /** Where in the target: a lock file, the operating system's packages, a layer. */
  location: z.string().optional(),
  package_name: z.string().optional(),
  package_version: z.string().optional(),
  package_path: z.string().optional(),
  /** The component's package URL, or its name and version: the graph's node. */
  component: z.string().optional(),
  /** Components that are affected, where a report names several. */
  affected_components: z.array(z.string()).optional(),
  /** Lower case: `critical`, `high`, `medium`, `low`, `unknown`, … */
  severity: z.string().optional(),
  score: z.number().optional(),
  status: z.string().optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  fixed_version: z.string().optional(),
  cwe_ids: z.array(z.string()).optional(),
  references: z.array(z.string()).optional(),
  published_at: z.string().optional(),
  modified_at: z.string().optional(),
  /** Set from 2 on when a report lists the same finding again. */
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A known vulnerability in a component of a target; a later report of the target updates it. */
export const vulnerabilities: RecordType = defineRecordType({
  name: "fortress/vulnerabilities",
  version: 1,
  title: "A known vulnerability in a component of a target.",
  schema,
  id: {
    key: [
      "target",
      "location",
      "package_name",
      "package_version",
      "package_path",
      "vulnerability_id",
      "occurrence",
    ],
  },
  mode: "versioned",
  placements: {
    document: { indexes: [["vulnerability_id"], ["target"], ["component"], ["severity"]] },
    search: {
      fields: {
        vulnerability_id: { from: "vulnerability_id", weight: 4 },
        title: { from: "title", weight: 2 },
        description: { from: "description" },
        package_name: { from: "package_name", weight: 2 },
      },
      filters: {
        severity: "severity",
        status: "status",
        target: "target",
        package_name: "package_name",
      },
    },
    graph: {
      nodes: [
        {
          label: "Image",
          id: { path: "target", where: { path: "target_kind", equals: "container_image" } },
        },
        { label: "Component", id: "component" },
        { label: "Component", id: { path: "affected_components[]", take: "all" } },
        {
          label: "CVE",
          id: "vulnerability_id",
          properties: {
            severity: { type: "text", from: "severity" },
            score: { type: "real", from: "score" },
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
        {
          type: "HAS_VULNERABILITY",
          from: { label: "Component", id: "component" },
          to: { label: "CVE", id: "vulnerability_id" },
        },
        {
          type: "HAS_VULNERABILITY",
          from: { label: "Component", id: { path: "affected_components[]", take: "all" } },
          to: { label: "CVE", id: "vulnerability_id" },
        },
      ],
    },
    stream: {
      topic: "fortress.threats.detected",
      facts: ["vulnerability_id", "severity", "target", "component"],
    },
  },
});
