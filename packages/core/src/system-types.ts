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

/** A restore: the first record of the timeline that it began. */
export const restores: RecordType = defineRecordType({
  name: "custody/restores",
  version: 1,
  title: "A restore of the journal to an earlier state, and the timeline that it began",
  mode: "versioned",
  schema: z.object({
    timeline: z.string(),
    asked: z.string(),
    backup: z.string(),
    repository: z.string(),
    actor: z.string(),
    restored_at: z.string(),
    cut_sequence: z.number(),
    cut_at: z.string().nullable(),
    old_timeline: z.string(),
    old_size: z.number(),
    old_root: z.string(),
    carried_over: z.record(z.string(), z.number()).optional(),
  }),
  id: { field: "timeline" },
  observedAt: "restored_at",
  placements: { document: { indexes: [["backup"], ["restored_at"]] } },
});

/** A restore drill: what was tried, how long it took, and what differed; signed by the custodian. */
export const drills: RecordType = defineRecordType({
  name: "custody/drills",
  version: 1,
  title: "A restore tried in a scratch place, and what it showed",
  mode: "append",
  schema: z.object({
    id: z.string(),
    backup: z.string(),
    ok: z.boolean(),
    started_at: z.string(),
    rto_ms: z.number(),
    rpo_ms: z.number().nullable(),
    report: z.string(),
    key_id: z.string(),
    signature: z.string(),
  }),
  id: { field: "id" },
  observedAt: "started_at",
  placements: { document: { indexes: [["backup"], ["started_at"], ["ok"]] } },
});

/** What a job of the schedule did, and how it ended: written by the scheduler after each run. */
export const scheduledJobs: RecordType = defineRecordType({
  name: "custody/jobs",
  version: 1,
  title: "A run of a job of the schedule, and its outcome",
  mode: "append",
  scope: "shared",
  schema: z.object({
    /** Job and attempt, with the instant it began. */
    id: z.string(),
    job: z.string(),
    kind: z.string(),
    scheduled_at: z.string(),
    started_at: z.string(),
    ended_at: z.string(),
    attempt: z.number(),
    outcome: z.enum(["done", "found-wrong", "failed", "interrupted"]),
    summary: z.string(),
    code: z.string().optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
  id: { field: "id" },
  observedAt: "started_at",
  placements: { document: { indexes: [["job"], ["outcome"], ["started_at"]] } },
  lifecycle: { hot: "P90D", cold: "P7Y", then: "dispose", from: "receivedAt" },
});

/** The record types core itself writes. */
export const SYSTEM_TYPES: readonly RecordType[] = [
  auditLogs,
  sourceFiles,
  rejectedInputs,
  streamPositions,
  scheduledJobs,
  restores,
  drills,
];
