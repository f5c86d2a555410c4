import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { freeForm } from "../../free-form.ts";

const schema = z.strictObject({
  repository: z.string(),
  commit: z.string(),
  tree: z.string().optional(),
  parents: z.array(z.string()),
  authored_at: z.string().optional(),
  committed_at: z.string().optional(),
  author_name: z.string().optional(),
  /** The data subject; where git has none, the author's name stands here. */
  author_email: z.string(),
  refs: z.array(z.string()).optional(),
  subject: z.string(),
  /** The rest of the message, trailers with people's names included. */
  body: z.string().optional(),
  files_changed: z.int(),
  insertions: z.int(),
  deletions: z.int(),
  is_merge: z.boolean(),
  details: freeForm.optional(),
});

/** One commit of a repository's history. */
export const commits: RecordType = defineRecordType({
  name: "audit/commits",
  version: 1,
  title: "One commit of a repository's history.",
  schema,
  id: { key: ["repository", "commit"] },
  mode: "versioned",
  observedAt: "committed_at",
  personal: {
    fields: ["author_name", "author_email", "body"],
    subject: "author_email",
  },
  placements: {
    document: { indexes: [["repository"], ["committed_at"]] },
    search: {
      fields: { subject: { from: "subject", weight: 2 }, body: { from: "body" } },
      filters: { repository: "repository" },
    },
    series: [
      {
        measurement: "commit_frequency",
        tags: { repository: "repository" },
        fields: {
          commits: { path: "commit", take: "count" },
          files_changed: "files_changed",
          insertions: "insertions",
          deletions: "deletions",
        },
      },
    ],
    graph: {
      nodes: [
        { label: "Repository", id: "repository" },
        { label: "Commit", id: "commit" },
        { label: "Commit", id: { path: "parents[]", take: "all" } },
      ],
      edges: [
        {
          type: "HOLDS",
          from: { label: "Repository", id: "repository" },
          to: { label: "Commit", id: "commit" },
        },
        {
          type: "FOLLOWS",
          from: { label: "Commit", id: "commit" },
          to: { label: "Commit", id: { path: "parents[]", take: "all" } },
        },
      ],
    },
  },
});
