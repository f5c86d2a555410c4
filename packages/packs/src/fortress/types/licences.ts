import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  licence: z.string(),
  target: z.string(),
  target_kind: z.string().optional(),
  location: z.string().optional(),
  package_name: z.string().optional(),
  file_path: z.string().optional(),
  category: z.string().optional(),
  severity: z.string().optional(),
  confidence: z.number().optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A licence that a component or file of a target is under, and how a scanner judges it. */
export const licences: RecordType = defineRecordType({
  name: "fortress/licences",
  version: 1,
  title: "A licence that a component or file of a target is under.",
  schema,
  id: { key: ["target", "location", "package_name", "file_path", "licence", "occurrence"] },
  mode: "versioned",
  placements: {
    document: { indexes: [["licence"], ["target"], ["package_name"]] },
  },
});
