import { expect, test } from "vitest";

import { SAMPLES } from "./conformance-fixture.ts";
import { indexSpecs } from "./mongodb-collection.ts";

test("a collection has an index for each path's values and for each order", () => {
  const indexes = [["kind"], ["tags[]"], ["kind", "7.a b"]];
  expect(indexSpecs({ ...SAMPLES, placements: { "lab/sample": { indexes } } })).toEqual([
    { name: "sequence", key: { sequence: 1, _id: 1 } },
    { name: "gone", key: { at: 1 }, sparse: true },
    { name: "values0", key: { "record.kind": 1 } },
    { name: "values1", key: { "record.tags": 1 } },
    { name: "values2", key: { "record.%37.a%20b": 1 } },
    { name: "ascending0", key: { "keys.k0.asc": 1, _id: 1 } },
    { name: "ascending1", key: { "keys.k1.asc": 1, _id: 1 } },
    { name: "ascending2", key: { "keys.k0.asc": 1, "keys.k2.asc": 1, _id: 1 } },
    { name: "descending0", key: { "keys.k0.desc": -1, _id: 1 } },
    { name: "descending1", key: { "keys.k1.desc": -1, _id: 1 } },
  ]);
});

test("of more indexes than MongoDB keeps those of descending orders are left out first", () => {
  const indexes = Array.from({ length: 25 }, (_, index) => [`path${index}`]);
  const names = indexSpecs({ ...SAMPLES, placements: { "lab/sample": { indexes } } }).map(
    ({ name }) => name,
  );
  expect(names).toHaveLength(63);
  expect(names.filter((name) => name.startsWith("values"))).toHaveLength(25);
  expect(names.filter((name) => name.startsWith("ascending"))).toHaveLength(25);
  expect(names.at(-1)).toBe("descending10");
});
