import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

const schema = z.strictObject({
  repository: z.string(),
  commit: z.string(),
  committed_at: z.string().optional(),
  committer_name: z.string().optional(),
  committer_email: z.string(),
});

/**
 * Who committed what another person wrote. A record of its own, because a record has one data
 * subject: erasing the committer must not take the author, nor the other way round.
 */
export const committers: RecordType = defineRecordType({
  name: "audit/committers",
  version: 1,
  title: "Who committed what another person wrote.",
  schema,
  id: { key: ["repository", "commit"] },
  mode: "versioned",
  observedAt: "committed_at",
  personal: { fields: ["committer_name", "committer_email"], subject: "committer_email" },
  placements: { document: { indexes: [["repository"], ["commit"]] } },
});
