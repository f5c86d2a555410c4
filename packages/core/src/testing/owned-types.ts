import type { Pack } from "@custody/contract/importer";
import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { defineSummary } from "@custody/contract/summary";
import { z } from "zod";

import { assets, attempts, users } from "./sample-types.ts";

/** Versioned and kept in a file per owner, in every store that can. */
export const notes: RecordType = defineRecordType({
  name: "sample/notes",
  version: 1,
  title: "What a person wrote for themselves",
  mode: "versioned",
  scope: "owner",
  owner: "by",
  schema: z.object({
    id: z.string(),
    by: z.string(),
    at: z.string(),
    topic: z.string(),
    text: z.string(),
    weight: z.number(),
  }),
  id: { field: "id" },
  observedAt: "at",
  placements: {
    document: { indexes: [["topic"]] },
    search: { fields: { text: { from: "text" } }, filters: { topic: "topic" } },
    series: [{ measurement: "notes", tags: { topic: "topic" }, fields: { weight: "weight" } }],
    relational: {
      table: "notes",
      columns: { topic: { type: "text", from: "topic" }, weight: { type: "real", from: "weight" } },
    },
  },
});

/** A pack for tests of what is kept per owner, beside types that are not. */
export const ownedPack: Pack = {
  name: "sample",
  types: [notes, attempts, assets, users],
  importers: [],
  summaries: [
    defineSummary(notes, {
      name: "sample/notes_by_topic",
      version: 1,
      title: "Notes by topic",
      key: { topic: "topic" },
      measures: { notes: { count: true }, weight: { sum: "weight" } },
    }),
  ],
};

/** A valid note; what matters to a test is passed in. */
export function note(
  id: string,
  by: string,
  changes: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    id,
    by,
    at: "2026-03-04T05:06:07.000Z",
    topic: "work",
    text: `remember the milk, says ${id}`,
    weight: 1,
    ...changes,
  };
}
