import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { Pack } from "@custody/contract/importer";
import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import type { Scope } from "@custody/stores/scope";
import { z } from "zod";

import type { Installation } from "./installation.ts";
import { attempt, samplePack } from "./sample-types.ts";

/** Personal fields between others, so that sealing and opening changes their order. */
const dossiers: RecordType = defineRecordType({
  name: "sample/dossiers",
  version: 1,
  title: "What is known of a person",
  mode: "append",
  schema: z.object({
    person: z.string(),
    id: z.string(),
    contact: z.object({ mail: z.string(), since: z.number() }),
    note: z.string(),
  }),
  id: { field: "id" },
  personal: { fields: ["contact.mail", "person"], subject: "person" },
  placements: { document: {} },
});

/** Sealed whole. */
const diaries: RecordType = defineRecordType({
  name: "sample/diaries",
  version: 1,
  title: "What a person wrote",
  mode: "append",
  schema: z.object({ who: z.string(), page: z.number(), text: z.string() }),
  id: { generated: true },
  personal: { fields: "record", subject: "who" },
  placements: { document: {} },
});

/** Outlives a restore, as legal holds will. */
const holds: RecordType = defineRecordType({
  name: "sample/holds",
  version: 1,
  title: "Something that must be kept",
  mode: "transactional",
  schema: z.object({ id: z.string(), about: z.string(), is_released: z.boolean() }),
  id: { field: "id" },
  references: [{ field: "about", type: "sample/assets", onUnknown: "reject-commit" }],
  placements: {
    document: {},
    relational: { table: "holds", columns: { about: { type: "text", from: "about" } } },
  },
  outlivesRestore: true,
});

const notesV1: RecordType = defineRecordType({
  name: "sample/notes",
  version: 1,
  title: "A note",
  mode: "transactional",
  schema: z.object({ id: z.string(), words: z.string() }),
  id: { field: "id" },
  placements: {
    document: {},
    relational: { table: "notes", columns: { words: { type: "text", from: "words" } } },
  },
});

const notesV2: RecordType = defineRecordType({
  name: "sample/notes",
  version: 2,
  title: "A note, with its length",
  mode: "transactional",
  schema: z.object({ id: z.string(), words: z.string(), length: z.number() }),
  id: { field: "id" },
  placements: {
    document: {},
    relational: {
      table: "notes",
      columns: {
        words: { type: "text", from: "words" },
        length: { type: "integer", from: "length" },
      },
    },
  },
  upcast: (fields) => ({ ...fields, length: String(fields["words"]).length }),
  previous: notesV1,
});

/** The sample types and those above, with notes as they were first declared. */
export const historyPackV1: Pack = {
  ...samplePack,
  types: [...samplePack.types, dossiers, diaries, holds, notesV1],
};
/** The same with the present declaration of notes. */
export const historyPack: Pack = {
  ...samplePack,
  types: [...samplePack.types, dossiers, diaries, holds, notesV2],
};

/** What was acknowledged, in the order of the receipts: the model that a restore is compared with. */
export interface Commitment {
  readonly tenant: string;
  readonly receivedAt: number;
  /** The last sequence of the commit. */
  readonly end: number;
  readonly changes: readonly {
    readonly type: string;
    readonly id: string;
    readonly sequence: number;
    readonly isDeleted: boolean;
  }[];
}

/** A generator of numbers in [0, 1) that the seed decides (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TENANTS = ["acme", "beta", SYSTEM_TENANT];

/** Commits records of every kind to several tenants, in small and large commits, and compacts in between. */
export async function writeHistory(
  { custody, clock }: Pick<Installation, "custody" | "clock">,
  random: () => number,
  { commits, first }: { readonly commits: number; readonly first: number },
): Promise<readonly Commitment[]> {
  const written: Commitment[] = [];
  for (let number = first; number < first + commits; number += 1) {
    clock.nowMs += Math.floor(random() * 3) * 1_000;
    const tenant = TENANTS[Math.floor(random() * TENANTS.length)] ?? "acme";
    const at: Scope = { tenant, actor: "user:writer", deadline: Number.POSITIVE_INFINITY };
    const parts = drawParts(random, number);
    const receipt = await custody.commit(at, parts);
    const changes: Commitment["changes"][number][] = [];
    for (const { type, operation, sequence } of receipt.entries) {
      const part = parts.find((one) => one.type === type);
      const isDeleted = operation === "delete";
      const ids = isDeleted
        ? (part?.delete ?? [])
        : (part?.put ?? []).map(({ fields }) => String(fields["id"] ?? fields["name"]));
      // The ids of diaries are made by Custody.
      if (type !== diaries.name)
        changes.push(...ids.map((id) => ({ type, id, sequence, isDeleted })));
    }
    const end = receipt.entries.at(-1)?.sequence ?? 0;
    if (end > 0) written.push({ tenant, receivedAt: receipt.receivedAt, end, changes });
    if (random() < 0.06) await custody.compact(at);
  }
  return written;
}

interface DrawnPart {
  readonly type: string;
  readonly put?: readonly { readonly fields: Record<string, unknown> }[];
  readonly delete?: readonly string[];
}

/** One to three parts of different types; every record differs from all before it. */
function drawParts(random: () => number, number: number): readonly DrawnPart[] {
  const pick = (count: number): number => Math.floor(random() * count);
  const large = "x".repeat(random() < 0.1 ? 50_000 : 10);
  const person = `person ${pick(5)}`;
  const all: readonly DrawnPart[] = [
    {
      type: "sample/attempts",
      put: Array.from({ length: 1 + pick(4) }, (_, index) => ({
        fields: attempt(`a${number}-${index}`, { prompt: `${number} ${large}` }),
      })),
    },
    {
      type: "sample/assets",
      ...(random() < 0.2
        ? { delete: [`asset ${pick(6)}`] }
        : { put: [{ fields: { name: `asset ${pick(6)}`, owner: "ops", risk: number } }] }),
    },
    {
      type: "sample/users",
      put: [{ fields: { id: `u${pick(5)}`, login: `login ${number}` } }],
    },
    {
      type: "sample/dossiers",
      put: [
        {
          fields: {
            person,
            id: `d${number}`,
            contact: { mail: `${number}@example.org`, since: number },
            note: large,
          },
        },
      ],
    },
    {
      type: "sample/diaries",
      put: [{ fields: { who: person, page: number, text: large } }],
    },
    {
      type: "sample/notes",
      put: [{ fields: { id: `n${pick(5)}`, words: `words ${number}`, length: number } }],
    },
  ];
  const start = pick(all.length);
  return Array.from(
    { length: 1 + pick(3) },
    (_, index) => all[(start + index) % all.length],
  ).filter((part) => part !== undefined);
}

/** Where each record that ever was stands after the commits received by an instant, by tenant, type and id. */
export function stateAt(
  written: readonly Commitment[],
  time: number,
): ReadonlyMap<string, { readonly sequence: number; readonly isDeleted: boolean } | undefined> {
  const state = new Map<string, { sequence: number; isDeleted: boolean } | undefined>();
  for (const { tenant, receivedAt, changes } of written) {
    for (const { type, id, sequence, isDeleted } of changes) {
      const key = `${tenant} ${type} ${id}`;
      if (receivedAt <= time) state.set(key, { sequence, isDeleted });
      else if (!state.has(key)) state.set(key, undefined);
    }
  }
  return state;
}
