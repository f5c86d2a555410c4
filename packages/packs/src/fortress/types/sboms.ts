import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  /** The document's serial number, or the SHA-256 of its file. */
  sbom_id: z.string(),
  format: z.string(),
  spec_version: z.string().optional(),
  /** The document's own revision. */
  revision: z.int().optional(),
  target: z.string(),
  target_kind: z.string().optional(),
  target_version: z.string().optional(),
  created_at: z.string().optional(),
  components: z.int(),
  services: z.int(),
  dependencies: z.int(),
  vulnerabilities: z.int(),
  /** What the document says of itself, and every part that has no record type. */
  metadata: freeForm.optional(),
  details: freeForm.optional(),
});

/** A software bill of materials as a document: of what, when, by which tool, with how many parts. */
export const sboms: RecordType = defineRecordType({
  name: "fortress/sboms",
  version: 1,
  title: "A software bill of materials as a document.",
  schema,
  id: { key: ["sbom_id"] },
  mode: "versioned",
  observedAt: "created_at",
  placements: {
    document: { indexes: [["target"], ["sbom_id"]] },
    series: [
      {
        measurement: "sboms",
        tags: { target: "target", format: "format" },
        fields: { components: "components", vulnerabilities: "vulnerabilities" },
      },
    ],
  },
});
