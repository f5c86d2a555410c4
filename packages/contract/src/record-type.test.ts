import { describe, expect, test } from "vitest";
import { z } from "zod";

import { checkRecordType, compileObservedAt, defineRecordType, isPersonal } from "./record-type.ts";

const schema = z.strictObject({
  id: z.string(),
  at: z.string(),
  who: z.string().optional(),
  scores: z.array(z.strictObject({ name: z.string(), value: z.number() })),
  labels: z.unknown(),
});
const plain = {
  name: "demo/notes",
  version: 1,
  title: "A note.",
  schema,
  id: { field: "id" },
  mode: "append",
  placements: {},
} as const;
const refused = { name: "ContractError", code: "invalid-type" };

describe("record types", () => {
  test("paths into fields, arrays and free-form parts compile", () => {
    const type = defineRecordType({
      ...plain,
      observedAt: "at",
      placements: {
        document: { indexes: [["id", "at"], ["scores[].name"]] },
        search: { fields: { labels: { from: "labels.any.path" } } },
        analytics: {
          columns: {
            first: {
              type: "real",
              from: { path: "scores[].value", where: { path: "scores[].name", equals: "x" } },
            },
          },
        },
      },
    });
    expect(type.name).toBe("demo/notes");
  });

  test("a path that names no field does not compile, and is refused when it comes at run time", () => {
    const make = [
      // @ts-expect-error there is no field `ids`
      () => defineRecordType({ ...plain, id: { field: "ids" } }),
      // @ts-expect-error there is no field `when`
      () => defineRecordType({ ...plain, observedAt: "when" }),
      () =>
        defineRecordType({
          ...plain,
          // @ts-expect-error there is no field `scor`
          placements: { search: { filters: { a: "scor" }, fields: {} } },
        }),
      () =>
        defineRecordType({
          ...plain,
          placements: {
            // @ts-expect-error there is no field `amount`
            series: [{ measurement: "m", tags: {}, fields: { amount: "amount" } }],
          },
        }),
    ];
    for (const one of make) expect(one).toThrow(/there is no field/);
  });

  test("a path below a field that has none does not compile", () => {
    const type = defineRecordType({
      ...plain,
      // @ts-expect-error `scores[].rank` is no member of a score
      placements: { document: { indexes: [["scores[].rank"]] } },
    });
    expect(type.version).toBe(1);
  });

  test("a name, a version and a mode must make sense", () => {
    const type = defineRecordType(plain);
    for (const change of [
      { name: "notes" },
      { name: "Demo/notes" },
      { version: 0 },
      { version: 1.5 },
      { version: 2 },
      { mode: "transactional" as const },
    ]) {
      expect(() => checkRecordType({ ...type, ...change })).toThrow(
        expect.objectContaining(refused),
      );
    }
  });

  test("a later version names the one before and how to climb from it", () => {
    const type = defineRecordType(plain);
    const upcast = (fields: Record<string, unknown>): Record<string, unknown> => fields;
    expect(() => checkRecordType({ ...type, version: 2, previous: type, upcast })).not.toThrow();
    expect(() => checkRecordType({ ...type, version: 2, previous: type })).toThrow(/upcast/);
    expect(() => checkRecordType({ ...type, version: 3, previous: type, upcast })).toThrow(
      /version 2 as its previous/,
    );
  });

  test("a type that is kept per owner names the owner's field, and no other type does", () => {
    const owned = { ...plain, scope: "owner", owner: "who" } as const;
    expect(defineRecordType(owned).owner).toBe("who");
    const { owner: _, ...unnamed } = owned;
    expect(() => defineRecordType(unnamed)).toThrow(/needs the field of its owner/);
    expect(() => defineRecordType({ ...plain, owner: "who" })).toThrow(
      expect.objectContaining(refused),
    );
    expect(() => defineRecordType({ ...plain, scope: "shared", owner: "who" })).toThrow(
      /only a type of scope owner/,
    );
    expect(() => defineRecordType({ ...owned, owner: "scores[].name" })).toThrow(/one owner/);
    // @ts-expect-error there is no field `whose`
    expect(() => defineRecordType({ ...owned, owner: "whose" })).toThrow(/no field whose/);
  });

  test("a type that is kept per owner has no place where owners are not apart", () => {
    const owned = { ...plain, scope: "owner", owner: "who" } as const;
    const graph = { nodes: [{ label: "Note", id: "id" }] } as const;
    expect(() => defineRecordType({ ...owned, placements: { graph } })).toThrow(/graph/);
    expect(() =>
      defineRecordType({
        ...owned,
        mode: "transactional",
        placements: { relational: { table: "notes", columns: {} } },
      }),
    ).toThrow(/transactional/);
  });

  test("a personal field may be no node, no property and no end of an edge", () => {
    const personal = { fields: ["who"], subject: "who" } as const;
    const asNode = { nodes: [{ label: "Person", id: "who" }] } as const;
    const asProperty = {
      nodes: [{ label: "Note", id: "id", properties: { by: { type: "text", from: "who" } } }],
    } as const;
    const asEdge = {
      nodes: [],
      edges: [
        { type: "BY", from: { label: "Note", id: "id" }, to: { label: "Person", id: "who" } },
      ],
    } as const;
    for (const graph of [asNode, asProperty, asEdge]) {
      expect(() => defineRecordType({ ...plain, personal, placements: { graph } })).toThrow(
        /personal field who/,
      );
    }
  });

  test("a personal field may be no tag and no event fact", () => {
    const personal = { fields: ["who"], subject: "who" } as const;
    expect(() =>
      defineRecordType({
        ...plain,
        personal,
        placements: { series: [{ measurement: "m", tags: { who: "who" }, fields: {} }] },
      }),
    ).toThrow(/personal field who/);
    expect(() =>
      defineRecordType({
        ...plain,
        personal,
        placements: { stream: { topic: "t", facts: ["who"] } },
      }),
    ).toThrow(/personal field who/);
  });

  test("a member of a personal field is personal, a field that only begins like it is not", () => {
    const type = defineRecordType({
      ...plain,
      personal: { fields: ["scores"], subject: "who" },
    });
    expect(isPersonal(type, "scores[].name")).toBe(true);
    expect(isPersonal(type, "who")).toBe(true);
    expect(isPersonal(type, "scoresheet")).toBe(false);
    expect(isPersonal(type, "labels")).toBe(false);
  });

  test("the observed instant is read as UTC, or is not there", () => {
    const read = compileObservedAt(defineRecordType({ ...plain, observedAt: "at" }));
    expect(read({ at: "2026-01-05T08:00:00" })).toBe(1767600000000);
    expect(read({ at: "some day" })).toBeUndefined();
    expect(compileObservedAt(defineRecordType(plain))({ at: "2026-01-05" })).toBeUndefined();
  });
});
