import { stringifyJson } from "@custody/contract/json";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { collect, sourceOf } from "../testing/read-text.ts";
import type { ReadingLimits } from "./reading-limits.ts";

async function values(
  text: string,
  paths: readonly string[],
  options: { pieceBytes?: number; limits?: Partial<ReadingLimits> } = {},
): Promise<unknown[]> {
  const source = await sourceOf(text, options);
  const found = await collect(source.json(paths));
  return found.map(({ path, pointer, value }) => [path, pointer, value]);
}

const report = `{ "Name": "x", "Empty": [], "Results": [
  {"Target": "a", "Vulnerabilities": [{"ID": 1}, {"ID": [2, {"x": "]}"}]}]},
  {"Target": "b\\"\\u00e9", "Vulnerabilities": null}
], "a/b~c": {"d": -1.5e3} }`;

describe("streamed JSON", () => {
  test.each([1, 2, 3, 5, 1000])(
    "gives the asked values in order with pointers, cut at %i bytes",
    async (pieceBytes) => {
      expect(
        await values(report, ["Results[].Vulnerabilities[]", "Results[].Target"], { pieceBytes }),
      ).toEqual([
        ["Results[].Target", "/Results/0/Target", "a"],
        ["Results[].Vulnerabilities[]", "/Results/0/Vulnerabilities/0", { ID: 1 }],
        ["Results[].Vulnerabilities[]", "/Results/0/Vulnerabilities/1", { ID: [2, { x: "]}" }] }],
        ["Results[].Target", "/Results/1/Target", 'b"é'],
      ]);
    },
  );

  test("a star stands for the members that no other path names", async () => {
    expect(await values(report, ["*", "Results[].*", "Results[].Vulnerabilities[]"])).toEqual([
      ["*", "/Name", "x"],
      ["*", "/Empty", []],
      ["Results[].*", "/Results/0/Target", "a"],
      ["Results[].Vulnerabilities[]", "/Results/0/Vulnerabilities/0", { ID: 1 }],
      ["Results[].Vulnerabilities[]", "/Results/0/Vulnerabilities/1", { ID: [2, { x: "]}" }] }],
      ["Results[].*", "/Results/1/Target", 'b"é'],
      ["Results[].*", "/Results/1/Vulnerabilities", null],
      ["*", "/a~1b~0c", { d: -1500 }],
    ]);
  });

  test("the empty path gives the whole document, and arrays at the top are stepped through", async () => {
    expect(await values("[1, [2]]", [""])).toEqual([["", "", [1, [2]]]]);
    expect(await values("[1, [2]]", ["[]"])).toEqual([
      ["[]", "/0", 1],
      ["[]", "/1", [2]],
    ]);
    expect(await values(" null\n", ["", "[]"])).toEqual([["", "", null]]);
    expect(await values("12", [""], { pieceBytes: 1 })).toEqual([["", "", 12]]);
    expect(await values('"a\\\\"', [""], { pieceBytes: 1 })).toEqual([["", "", "a\\"]]);
  });

  test("whole numbers beyond 2^53 keep every digit", async () => {
    expect(await values('{"a": 9007199254740993, "b": [18446744073709551615]}', ["*"])).toEqual([
      ["*", "/a", 9007199254740993n],
      ["*", "/b", [18446744073709551615n]],
    ]);
  });

  test("odd member names are told apart", async () => {
    const text = '{"__proto__": 1, "": 2, "a\\u0062": 3, "a.b": 4, "💥": 5}';
    expect(await values(text, ["*"], { pieceBytes: 1 })).toEqual([
      ["*", "/__proto__", 1],
      ["*", "/", 2],
      ["*", "/ab", 3],
      ["*", "/a.b", 4],
      ["*", "/💥", 5],
    ]);
    expect(await values(text, ["ab"])).toEqual([["ab", "/ab", 3]]);
  });

  test.each([
    ["{", "line 1, column 2"],
    ['{"a": 1,}', "line 1, column 9"],
    ['{"a" 1}', "line 1, column 6"],
    ["[1 2]", "line 1, column 4"],
    ["[1,]", "line 1, column 4"],
    ["[,1]", "line 1, column 2"],
    ["[01]", "line 1, column 2"],
    ["[1.]", "line 1, column 2"],
    ["[tru]", "line 1, column 2"],
    ["[NaN]", "line 1, column 2"],
    ['{"a": "\u0001"}', "line 1, column 8"],
    ['{"a": "\\x"}', "line 1, column 9"],
    ['{"a": "\\u12g4"}', "line 1, column 12"],
    ["{}\n{}", "line 2, column 1"],
    ["[]]", "line 1, column 3"],
    ["[}", "line 1, column 2"],
    ['{"a": [1, {]}', "line 1, column 12"],
    ["{'a': 1}", "line 1, column 2"],
    ['[\n  "x",\n  nul\n]', "line 3, column 3"],
    ['{"a": "never closed', "line 1, column 20"],
    ["<{}>", "line 1, column 1"],
  ])("%j is malformed at its place, asked for or not, however it is cut", async (text, at) => {
    for (const pieceBytes of [1, 2, 1000]) {
      for (const path of ["", "*", "[]", "nothing"]) {
        await expect(values(text, [path], { pieceBytes })).rejects.toMatchObject({
          name: "ImportError",
          code: "malformed",
          at,
        });
      }
    }
  });

  test("nothing at all is empty, not malformed", async () => {
    for (const text of ["", " \n "]) {
      await expect(values(text, [""])).rejects.toMatchObject({ code: "empty" });
    }
  });

  test("nesting at the limit is read, one level more is refused, asked for or not", async () => {
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    for (const path of ["", "nothing", "[]"]) {
      await expect(values(nested(256), [path])).resolves.toBeDefined();
      await expect(values(nested(257), [path])).rejects.toMatchObject({ code: "limit" });
    }
    await expect(values(nested(1_000_000), [""])).rejects.toMatchObject({ code: "limit" });
  });

  test("a value of the most bytes is given, one more is refused with its pointer", async () => {
    const limits = { valueBytesMax: 10 };
    expect(await values('{"a": "12345678"}', ["a"], { limits })).toHaveLength(1);
    await expect(values('{"a": "123456789"}', ["a"], { limits })).rejects.toMatchObject({
      code: "limit",
      at: "/a",
    });
    expect(
      await values(`{"skipped": "${"x".repeat(100)}", "a": 1}`, ["a"], { limits }),
    ).toHaveLength(1);
  });

  test("agrees with JSON.parse on any document, cut anywhere", async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), fc.integer({ min: 1, max: 9 }), async (text, pieceBytes) => {
        const [whole] = await values(text, [""], { pieceBytes });
        expect(JSON.parse(stringifyJson(whole))).toEqual(["", "", JSON.parse(text)]);
        await values(text, ["nothing"], { pieceBytes });
      }),
      { numRuns: 300 },
    );
  });

  test("agrees with JSON.parse on what is malformed", async () => {
    const broken = fc
      .tuple(
        fc.json(),
        fc.nat(),
        fc.constantFrom("{", "}", "[", "]", ",", ":", '"', "\\", "1", "-", "e", " "),
      )
      .map(([text, at, mark]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + mark + text.slice(place + 1);
      });
    await fc.assert(
      fc.asyncProperty(broken, async (text) => {
        const isValid = canParse(text);
        for (const path of ["", "nothing"]) {
          const isTaken = await values(text, [path], { pieceBytes: 3 }).then(
            () => true,
            () => false,
          );
          expect([text, isTaken]).toEqual([text, isValid]);
        }
      }),
      { numRuns: 500 },
    );
  });
});

function canParse(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
