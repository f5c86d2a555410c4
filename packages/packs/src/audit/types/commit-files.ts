import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

const schema = z.strictObject({
  repository: z.string(),
  commit: z.string(),
  path: z.string(),
  /** Where the file lay before it was renamed or copied. */
  old_path: z.string().optional(),
  committed_at: z.string().optional(),
  insertions: z.int().optional(),
  deletions: z.int().optional(),
  /** True where git counts no lines. */
  is_binary: z.boolean(),
});

/** What one commit did to one file. */
export const commitFiles: RecordType = defineRecordType({
  name: "audit/commit_files",
  version: 1,
  title: "What one commit did to one file.",
  schema,
  id: { key: ["repository", "commit", "path"] },
  mode: "versioned",
  observedAt: "committed_at",
  placements: {
    document: { indexes: [["commit"], ["path"]] },
    graph: {
      nodes: [
        { label: "Commit", id: "commit" },
        { label: "File", id: "path" },
      ],
      edges: [
        {
          type: "CHANGED",
          from: { label: "Commit", id: "commit" },
          to: { label: "File", id: "path" },
        },
      ],
    },
  },
});
