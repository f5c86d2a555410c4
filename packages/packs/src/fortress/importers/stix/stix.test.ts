import { describe, expect, test } from "vitest";

import { fieldsOf, importAll, sourceOf } from "../../../testing/read-text.ts";
import { fortressPack } from "../../fortress-pack.ts";
import { stix } from "./stix.ts";

const technique = {
  type: "attack-pattern",
  spec_version: "2.1",
  id: "attack-pattern--0a3ead4e-6d47-4ccb-854c-a6a4f9d96b22",
  created: "2026-01-05T08:00:00.000Z",
  modified: "2026-01-06T08:00:00.000Z",
  name: "Credential Dumping",
  external_references: [{ source_name: "mitre-attack", external_id: "T1003", url: "https://a" }],
  kill_chain_phases: [{ kill_chain_name: "mitre-attack", phase_name: "credential-access" }],
  x_mitre_version: "1.0",
};
const uses = {
  type: "relationship",
  id: "relationship--0a3ead4e-6d47-4ccb-854c-a6a4f9d96b23",
  created: "2026-01-05T08:00:00.000Z",
  modified: "2026-01-05T08:00:00.000Z",
  relationship_type: "uses",
  source_ref: "intrusion-set--0a3ead4e-6d47-4ccb-854c-a6a4f9d96b24",
  target_ref: technique.id,
};
const observed = {
  type: "observed-data",
  id: "observed-data--0a3ead4e-6d47-4ccb-854c-a6a4f9d96b25",
  created: "2026-01-05T08:00:00Z",
  modified: "2026-01-05T08:00:00Z",
  objects: { "0": { type: "file", name: "a.exe" } },
};
const address = {
  type: "ipv4-addr",
  id: "ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd",
  value: "198.51.100.3",
};
const custom = {
  type: "x-own",
  id: "x-own--0a3ead4e-6d47-4ccb-854c-a6a4f9d96b26",
  created: "2026-01-05T08:00:00Z",
  modified: "2026-01-05T08:00:00Z",
  "x.deep": { $y: [1] },
};
const objects = [technique, uses, observed, address, custom];

describe("STIX", () => {
  test("every object of a bundle becomes a record with all its members", async () => {
    const bundle = { type: "bundle", id: "bundle--1", spec_version: "2.0", objects };
    const rows = await importAll(stix, JSON.stringify(bundle), { pieceBytes: 7 });
    const types = new Map(fortressPack.types.map((type) => [type.name, type]));
    for (const row of rows) {
      if (row.kind !== "record") continue;
      expect(types.get(row.type)?.schema.safeParse(row.fields).error?.issues ?? []).toEqual([]);
    }
    expect(fieldsOf(rows, "fortress/threat_intelligence")).toEqual([
      {
        stix_id: technique.id,
        stix_type: "attack-pattern",
        spec_version: "2.1",
        name: "Credential Dumping",
        created_at: "2026-01-05T08:00:00.000Z",
        modified_at: "2026-01-06T08:00:00.000Z",
        external_id: "T1003",
        kill_chain_phases: ["credential-access"],
        references: ["https://a"],
        details: {
          external_references: technique.external_references,
          kill_chain_phases: technique.kill_chain_phases,
          x_mitre_version: "1.0",
        },
      },
      expect.objectContaining({
        stix_type: "observed-data",
        details: { objects: observed.objects },
      }),
      {
        stix_id: address.id,
        stix_type: "ipv4-addr",
        name: "198.51.100.3",
        details: { value: "198.51.100.3" },
      },
      expect.objectContaining({ stix_type: "x-own", details: { "x.deep": { $y: [1] } } }),
    ]);
    expect(fieldsOf(rows, "fortress/relationships")).toMatchObject([
      { relation: "intrusion-set uses attack-pattern", source_ref: uses.source_ref },
    ]);
  });

  test("envelopes, lists and single objects are read too", async () => {
    for (const shape of [{ more: false, objects }, objects]) {
      expect(stix.detect((await sourceOf(JSON.stringify(shape))).head)).toBeGreaterThan(0.5);
      expect(await importAll(stix, JSON.stringify(shape))).toHaveLength(5);
    }
    expect(stix.detect((await sourceOf(JSON.stringify(observed))).head)).toBe(0.7);
    expect(await importAll(stix, JSON.stringify(observed))).toHaveLength(1);
  });

  test("an empty bundle holds nothing", async () => {
    expect(await importAll(stix, '{"type":"bundle","id":"bundle--1"}')).toEqual([]);
    expect(await importAll(stix, '{"type":"bundle","id":"bundle--1","objects":[]}')).toEqual([]);
  });

  test("an object that departs from the specification is kept, and the record says how", async () => {
    const { modified: _modified, ...missing } = technique;
    const deviations = async (object: unknown): Promise<unknown> =>
      fieldsOf(
        await importAll(stix, JSON.stringify([object])),
        "fortress/threat_intelligence",
      )[0]?.["deviations"];
    expect(await deviations({ ...technique, modified: "2015-01-01T00:00:00Z" })).toEqual([
      "modified is before created",
    ]);
    expect(await deviations(missing)).toEqual(["modified is missing or no time"]);
    expect(await deviations(technique)).toBeUndefined();
  });

  test("what is no object of STIX is refused with its pointer, or rejected when lenient", async () => {
    const bundle = JSON.stringify({
      type: "bundle",
      objects: [technique, { type: "tool", id: "other--1" }],
    });
    await expect(importAll(stix, bundle)).rejects.toMatchObject({
      code: "malformed",
      at: "/objects/1",
    });
    const rows = await importAll(stix, bundle, { isLenient: true });
    expect(rows.map((row) => row.kind)).toEqual(["record", "rejected"]);
    await expect(importAll(stix, '"text"')).rejects.toMatchObject({ code: "malformed" });
  });
});
