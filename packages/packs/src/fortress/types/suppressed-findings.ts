import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  finding_id: z.string(),
  /** What was found: `vulnerability`, `misconfiguration`, `secret` or `license`. */
  kind: z.string().optional(),
  target: z.string(),
  location: z.string().optional(),
  component: z.string().optional(),
  /** Why it does not count: `ignored`, `not_affected`, `fixed`, … */
  status: z.string().optional(),
  statement: z.string().optional(),
  /** Who says so: an ignore file, a VEX document. */
  source: z.string().optional(),
  finding: freeForm.optional(),
  occurrence: z.int().optional(),
  details: freeForm.optional(),
});

/** A finding that was set aside, with the reason and who gave it. */
export const suppressedFindings: RecordType = defineRecordType({
  name: "fortress/suppressed_findings",
  version: 1,
  title: "A finding that was set aside, with the reason.",
  schema,
  id: { key: ["target", "location", "kind", "finding_id", "component", "occurrence"] },
  mode: "versioned",
  placements: { document: { indexes: [["target"], ["finding_id"], ["status"]] } },
});
