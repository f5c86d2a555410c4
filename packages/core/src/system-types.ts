import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

/** Who did what, when, with which outcome: written by core for every change and every export. */
export const auditLogs: RecordType = defineRecordType({
  name: "custody/audit_logs",
  version: 1,
  title: "One action of somebody on the evidence, and its outcome",
  mode: "append",
  schema: z.object({
    user_id: z.string(),
    action: z.string(),
    resource: z.string(),
    outcome: z.enum(["done", "failed", "refused"]),
    occurred_at: z.string(),
    metadata: z.record(z.string(), z.unknown()),
  }),
  id: { generated: true },
  observedAt: "occurred_at",
  placements: {
    document: { indexes: [["user_id"], ["action"], ["occurred_at"]] },
    search: {
      fields: { action: { from: "action" }, resource: { from: "resource" } },
      filters: { outcome: "outcome" },
    },
  },
  lifecycle: { hot: "P90D", cold: "P7Y", then: "dispose", from: "receivedAt" },
});

/** An original file that evidence was imported from, kept sealed in the blob store. */
export const sourceFiles: RecordType = defineRecordType({
  name: "custody/source_files",
  version: 1,
  title: "A file that evidence was imported from",
  mode: "versioned",
  schema: z.object({
    sha256: z.string(),
    name: z.string(),
    bytes: z.number(),
    format: z.string(),
    importer: z.string(),
    mapping_version: z.number(),
    tool: z.string().optional(),
    tool_version: z.string().optional(),
    imported_at: z.string(),
    records: z.record(z.string(), z.number()),
    blob: z.string(),
  }),
  id: { field: "sha256" },
  observedAt: "imported_at",
  placements: {
    document: { indexes: [["format"], ["imported_at"]] },
    blob: { links: ["blob"] },
  },
});

/** A row that an import could not turn into a record, kept with its reason. */
export const rejectedInputs: RecordType = defineRecordType({
  name: "custody/rejected_inputs",
  version: 1,
  title: "A row of a source that could not become a record",
  mode: "append",
  schema: z.object({
    sha256: z.string(),
    name: z.string(),
    at: z.string(),
    reason: z.string(),
    text: z.string(),
    rejected_at: z.string(),
  }),
  id: { key: ["sha256", "at"] },
  observedAt: "rejected_at",
  placements: { document: { indexes: [["sha256"]] } },
});

/** How far a topic was committed: written with the records of its messages, in one commit. */
export const streamPositions: RecordType = defineRecordType({
  name: "custody/stream_positions",
  version: 1,
  title: "How far a partition of a topic was read into the journal",
  mode: "versioned",
  schema: z.object({
    id: z.string(),
    topic: z.string(),
    partition: z.number(),
    type: z.string(),
    next_offset: z.number(),
    committed_at: z.string(),
  }),
  id: { field: "id" },
  observedAt: "committed_at",
  placements: { document: { indexes: [["topic"]] } },
});

/** The record types core itself writes. */
export const SYSTEM_TYPES: readonly RecordType[] = [
  auditLogs,
  sourceFiles,
  rejectedInputs,
  streamPositions,
];
