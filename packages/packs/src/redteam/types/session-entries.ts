import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  session_id: z.string(),
  entry_type: z.string(),
  /** SHA-256 of the entry's text, so that entries of one kind are told apart. */
  fingerprint: z.string(),
  observed_at: z.string().optional(),
  content: freeForm,
});

/** An entry of a run's report that is no attempt and no evaluation, kept as the tool wrote it. */
export const sessionEntries: RecordType = defineRecordType({
  name: "redteam/session_entries",
  version: 1,
  title: "An entry of a run's report that is no attempt and no evaluation.",
  schema,
  id: { key: ["session_id", "entry_type", "fingerprint"] },
  mode: "versioned",
  observedAt: "observed_at",
  placements: { document: { indexes: [["session_id"], ["entry_type"]] } },
});
