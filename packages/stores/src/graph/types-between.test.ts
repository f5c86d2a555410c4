import { expect, test } from "vitest";

import type { GraphModel } from "./graph-model.ts";
import { typesBetween } from "./types-between.ts";

const model: GraphModel = {
  labels: new Map(),
  types: new Map([
    ["TESTED", [{ from: "Session", to: "Model" }]],
    ["USED", [{ from: "Session", to: "Probe" }]],
    ["FOUND", [{ from: "Probe", to: "Vulnerability" }]],
    ["DEPENDS_ON", [{ from: "Component", to: "Component" }]],
    [
      "CONTAINS",
      [
        { from: "Image", to: "Component" },
        { from: "Cluster", to: "Namespace" },
      ],
    ],
  ]),
};

function between(
  from: string,
  to: string,
  direction: "out" | "both",
  depthMax: number,
): readonly string[] {
  return typesBetween(model, {
    from: { label: from, id: "a" },
    to: { label: to, id: "b" },
    direction,
    depthMax,
  });
}

test("only types that lie on a way from label to label are kept", () => {
  expect(between("Session", "Vulnerability", "out", 4)).toEqual(["USED", "FOUND"]);
  expect(between("Image", "Component", "out", 4)).toEqual(["DEPENDS_ON", "CONTAINS"]);
  expect(between("Component", "Component", "out", 4)).toEqual(["DEPENDS_ON"]);
});

test("edges against their direction count only where they may be walked so", () => {
  expect(between("Model", "Vulnerability", "out", 4)).toEqual([]);
  expect(between("Model", "Vulnerability", "both", 4)).toEqual(["TESTED", "USED", "FOUND"]);
});

test("a way of exactly the depth is kept, one longer is not", () => {
  expect(between("Model", "Vulnerability", "both", 3)).toEqual(["TESTED", "USED", "FOUND"]);
  expect(between("Model", "Vulnerability", "both", 2)).toEqual([]);
});

test("labels that nothing joins have no way", () => {
  expect(between("Model", "Namespace", "both", 16)).toEqual([]);
});
