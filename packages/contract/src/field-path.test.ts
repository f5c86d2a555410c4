import { describe, expect, test } from "vitest";

import { compilePath, pathSteps } from "./field-path.ts";

const record: unknown = JSON.parse(`{
  "a": 1, "none": null, "list": [1, null, 2],
  "turns": [{"content": "one"}, {"content": "two"}, {"role": "x"}, "text"],
  "deep": {"er": {"est": ["x"]}}, "__proto__": {"own": 7}
}`);

describe("field paths", () => {
  test.each([
    ["a", [1]],
    ["none", []],
    ["missing", []],
    ["list", [[1, null, 2]]],
    ["list[]", [1, 2]],
    ["a[]", []],
    ["turns[].content", ["one", "two"]],
    ["deep.er.est[]", ["x"]],
    ["deep.er.missing.x", []],
    ["__proto__.own", [7]],
    ["constructor", []],
    ["list.length", []],
  ])("%s gives %j", (path, values) => {
    expect(compilePath(path)(record)).toEqual(values);
  });

  test("a path is split into named steps", () => {
    expect(pathSteps("turns[].content")).toEqual([
      { name: "turns", isEach: true },
      { name: "content", isEach: false },
    ]);
  });

  test("a record that is no object has no values", () => {
    for (const value of [null, undefined, 1, "text"]) expect(compilePath("a")(value)).toEqual([]);
  });
});
