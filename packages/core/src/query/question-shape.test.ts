import { expect, test } from "vitest";

import { shapeOf } from "./question-shape.ts";

test("a question keeps its structure and loses its values", () => {
  const query = {
    filter: {
      op: "and",
      filters: [
        { op: "eq", path: "subject.name", value: "Ana Kovač" },
        { op: "in", path: "severity", values: ["high", "critical"] },
      ],
    },
    sort: [{ path: "at", direction: "desc" }],
    limit: 100,
    cursor: "eyJhIjoxfQ",
  };
  expect(shapeOf(query)).toEqual({
    filter: {
      op: "and",
      filters: [
        { op: "eq", path: "subject.name", value: "<string>" },
        { op: "in", path: "severity", values: "<2 values>" },
      ],
    },
    sort: [{ path: "at", direction: "desc" }],
    limit: 100,
    cursor: "<string>",
  });
});

test("a statement loses its literals, whatever is in them", () => {
  const statement = `SELECT a1 FROM "t" WHERE name = 'O''Hara -- x' AND n > 12.5 AND b = 'a\\'b'`;
  expect(shapeOf({ statement })).toEqual({
    statement: "SELECT a1 FROM ? WHERE name = ? AND n > ? AND b = ?",
  });
});

test("bytes and bare values are told by their kind alone", () => {
  expect(shapeOf(["key-of-ana", new Uint8Array(3)])).toEqual("<2 values>");
  expect(shapeOf(new Uint8Array(3))).toBe("<3 bytes>");
});

test("tags and parameters that bear a name of the structure lose their values too", () => {
  const query = { measurement: "logins", where: { name: ["Ana"], type: ["vip"] } };
  expect(shapeOf(query)).toEqual({
    measurement: "logins",
    where: { name: "<1 values>", type: "<1 values>" },
  });
  expect(shapeOf({ parameters: { label: "Ana" } })).toEqual({ parameters: { label: "<string>" } });
});
