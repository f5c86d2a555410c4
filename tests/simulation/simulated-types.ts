import type { Importer, ImportRow, Pack } from "@custody/contract/importer";
import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { defineSummary } from "@custody/contract/summary";
import type { SourceReading } from "@custody/core/import/source-reading";
import { z } from "zod";

/** Which declarations an installation runs: a later edition maps the same records otherwise. */
export type Edition = 1 | 2;

/** What every record carries: the number of the step that made it, and room to make it large. */
const MARKS = { op: z.number(), pad: z.string() };

function events(edition: Edition): RecordType {
  return defineRecordType({
    name: "sim/events",
    version: 1,
    title: "Something that happened to an asset, and never changes",
    mode: "append",
    schema: z.object({
      ...MARKS,
      id: z.string(),
      at: z.number(),
      asset: z.string(),
      level: z.number(),
    }),
    id: { field: "id" },
    observedAt: "at",
    placements: {
      document: { indexes: edition === 1 ? [["asset"]] : [["asset"], ["level"]] },
      search: {
        fields: { asset: { from: "asset" } },
        filters: edition === 1 ? { level: "level" } : { level: "level", op: "op" },
      },
      series: [{ measurement: "events", tags: { asset: "asset" }, fields: { level: "level" } }],
      graph: {
        nodes: [{ label: "Asset", id: "asset" }],
        edges: [
          {
            type: "HAD",
            from: { label: "Asset", id: "asset" },
            to: { label: "Level", id: "level" },
          },
        ],
      },
      stream: { topic: "sim.events", facts: ["asset"] },
    },
  });
}

function assets(edition: Edition): RecordType {
  const first = defineRecordType({
    name: "sim/assets",
    version: 1,
    title: "Something that changes",
    mode: "versioned",
    schema: z.object({ ...MARKS, name: z.string(), team: z.string(), risk: z.number() }),
    id: { field: "name" },
    placements: {
      document: { indexes: [["team"]] },
      relational: {
        table: "assets",
        columns: { team: { type: "text", from: "team" }, risk: { type: "real", from: "risk" } },
      },
      graph: {
        nodes: [
          { label: "Asset", id: "name", properties: { risk: { type: "real", from: "risk" } } },
        ],
        edges: [
          {
            type: "OF",
            from: { label: "Asset", id: "name" },
            to: { label: "Team", id: "team" },
          },
        ],
      },
      stream: { topic: "sim.assets", facts: ["team"] },
    },
  });
  if (edition === 1) return first;
  return defineRecordType({
    name: "sim/assets",
    version: 2,
    title: "Something that changes, and says who wrote it first",
    mode: "versioned",
    schema: z.object({
      ...MARKS,
      name: z.string(),
      team: z.string(),
      risk: z.number(),
      edition: z.number(),
    }),
    id: { field: "name" },
    placements: first.placements as never,
    previous: first,
    upcast: (fields) => ({ ...fields, edition: 1 }),
  });
}

const users = defineRecordType({
  name: "sim/users",
  version: 1,
  title: "Somebody who may sign in, under a name nobody else has",
  mode: "transactional",
  schema: z.object({ ...MARKS, id: z.string(), login: z.string() }),
  id: { field: "id" },
  placements: {
    document: {},
    relational: {
      table: "users",
      columns: { login: { type: "text", from: "login" } },
      unique: [["login"]],
    },
  },
});

const notes = defineRecordType({
  name: "sim/notes",
  version: 1,
  title: "What a person keeps for themselves, and may give to another",
  mode: "versioned",
  scope: "owner",
  owner: "by",
  schema: z.object({ ...MARKS, id: z.string(), by: z.string(), weight: z.number() }),
  id: { field: "id" },
  placements: { document: {} },
});

const interviews = defineRecordType({
  name: "sim/interviews",
  version: 1,
  title: "What a person said, sealed with that person's key",
  mode: "append",
  schema: z.object({ ...MARKS, id: z.string(), person: z.string(), said: z.string() }),
  id: { field: "id" },
  personal: { fields: ["person", "said"], subject: "person" },
  placements: { document: {} },
});

/** Reads a file of JSON lines: the type, a tab, the record. */
const importer: Importer = {
  name: "simlines",
  version: 1,
  title: "Lines of records for simulations",
  types: ["sim/events", "sim/assets", "sim/interviews"],
  detect: () => 1,
  async *read(source): AsyncGenerator<ImportRow> {
    for await (const { number, text } of source.lines()) {
      const [type = "", json = ""] = text.split("\t");
      const at = `line ${number}`;
      if (type === "tool") yield { kind: "tool", name: json };
      else if (json === "bad") yield { kind: "rejected", at, reason: "it is bad", text };
      else yield { kind: "record", type, at, fields: JSON.parse(json) as Record<string, unknown> };
    }
  },
};

const packs = new Map<Edition, Pack>();

/** The pack that simulations run, in one of its editions; made once, as checking a declaration is slow. */
export function simulatedPack(edition: Edition): Pack {
  const known = packs.get(edition);
  if (known !== undefined) return known;
  const assetsType = assets(edition);
  const pack: Pack = {
    name: "sim",
    types: [events(edition), assetsType, users, notes, interviews],
    importers: [importer],
    summaries: [
      defineSummary(assetsType, {
        name: "sim/assets_by_team",
        version: 1,
        title: "Assets by team",
        key: { team: "team" },
        measures: { assets: { count: true }, risk: { sum: "risk" } },
      }),
    ],
  };
  packs.set(edition, pack);
  return pack;
}

/** Reads the simulated importer's files. */
export const simulatedReading: SourceReading = {
  importers: [importer],
  detect: () => importer,
  open: async (bytes, { name }) => {
    const parts: Uint8Array[] = [];
    for await (const part of bytes) parts.push(part);
    const text = Buffer.concat(parts).toString("utf8");
    const head = { name, text: text.slice(0, 64 * 1024), isWhole: true };
    return {
      name,
      head,
      async *text() {
        yield text;
      },
      async *lines() {
        const lines = text.split("\n").filter((line) => line !== "");
        for (const [index, line] of lines.entries()) yield { number: index + 1, text: line };
      },
      json: () => {
        throw new Error("there is no JSON document here");
      },
      async [Symbol.asyncDispose]() {},
    };
  },
};
