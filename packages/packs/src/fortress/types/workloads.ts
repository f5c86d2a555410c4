import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  cluster: z.string().optional(),
  namespace: z.string().optional(),
  kind: z.string(),
  name: z.string(),
  /** Cluster, namespace, kind and name: the graph's node, and the target of its findings. */
  workload: z.string(),
  images: z.array(z.string()).optional(),
  details: freeForm.optional(),
});

/** A resource of a cluster that was scanned: a deployment, a role, a node. */
export const workloads: RecordType = defineRecordType({
  name: "fortress/workloads",
  version: 1,
  title: "A resource of a cluster that was scanned.",
  schema,
  id: { key: ["workload"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["cluster"], ["namespace"]] },
    graph: {
      nodes: [
        { label: "Cluster", id: "cluster" },
        { label: "Namespace", id: "namespace" },
        {
          label: "Workload",
          id: "workload",
          properties: {
            kind: { type: "text", from: "kind" },
            name: { type: "text", from: "name" },
          },
        },
        { label: "Image", id: { path: "images[]", take: "all" } },
      ],
      edges: [
        {
          type: "CONTAINS",
          from: { label: "Cluster", id: "cluster" },
          to: { label: "Namespace", id: "namespace" },
        },
        {
          type: "RUNS",
          from: { label: "Namespace", id: "namespace" },
          to: { label: "Workload", id: "workload" },
        },
        {
          type: "USES",
          from: { label: "Workload", id: "workload" },
          to: { label: "Image", id: { path: "images[]", take: "all" } },
        },
      ],
    },
  },
});
