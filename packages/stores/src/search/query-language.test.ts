import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import type { SearchExpression } from "./expression.ts";
import { parseSearch } from "./query-language.ts";

const term = (text: string, field?: string): SearchExpression =>
  field === undefined ? { op: "term", text } : { op: "term", text, field };
const EVERYTHING: SearchExpression = { op: "and", parts: [] };

describe("the search language", () => {
  test.each<readonly [string, SearchExpression]>([
    ["", EVERYTHING],
    [" \t\n\0 ", EVERYTHING],
    ["*", EVERYTHING],
    ["word", term("word")],
    ["two words", { op: "and", parts: [term("two"), term("words")] }],
    ["two AND words", { op: "and", parts: [term("two"), term("words")] }],
    ["a\0b\u0007c", { op: "and", parts: [term("a"), term("b"), term("c")] }],
    ["a OR b", { op: "or", parts: [term("a"), term("b")] }],
    ["a b OR c", { op: "or", parts: [{ op: "and", parts: [term("a"), term("b")] }, term("c")] }],
    ["a (b OR c)", { op: "and", parts: [term("a"), { op: "or", parts: [term("b"), term("c")] }] }],
    ["a -b", { op: "not", keep: term("a"), drop: term("b") }],
    ["a NOT b", { op: "not", keep: term("a"), drop: term("b") }],
    ["a NOT -b", { op: "and", parts: [term("a"), term("b")] }],
    ["-a", { op: "not", keep: EVERYTHING, drop: term("a") }],
    [
      "a -b -(c d)",
      {
        op: "not",
        keep: term("a"),
        drop: { op: "or", parts: [term("b"), { op: "and", parts: [term("c"), term("d")] }] },
      },
    ],
    ['"a phrase"', { op: "phrase", text: "a phrase" }],
    ['"( OR -x"', { op: "phrase", text: "( OR -x" }],
    ['"a phr"*', { op: "prefix", text: "a phr" }],
    ["begin*", { op: "prefix", text: "begin" }],
    ["fuzzy~", { op: "fuzzy", text: "fuzzy", distance: 1 }],
    ["fuzzy~1", { op: "fuzzy", text: "fuzzy", distance: 1 }],
    ["fuzzy~2", { op: "fuzzy", text: "fuzzy", distance: 2 }],
    ["title:word", term("word", "title")],
    ['title:"a phrase"', { op: "phrase", text: "a phrase", field: "title" }],
    [
      "-title:fuzz~2",
      {
        op: "not",
        keep: EVERYTHING,
        drop: { op: "fuzzy", text: "fuzz", distance: 2, field: "title" },
      },
    ],
    ["title:(a body:b)", { op: "and", parts: [term("a", "title"), term("b", "body")] }],
    ["http://host/path", term("http://host/path")],
    ["10:30", term("10:30")],
    ["e-mail", term("e-mail")],
    ["--flag", term("--flag")],
    ["a - b", { op: "and", parts: [term("a"), term("-"), term("b")] }],
    ["or and not", { op: "and", parts: [term("or"), term("and"), term("not")] }],
    ["a*b", term("a*b")],
    ["Ärger 日本語", { op: "and", parts: [term("Ärger"), term("日本語")] }],
    [
      "'; DROP TABLE x;",
      { op: "and", parts: [term("';"), term("DROP"), term("TABLE"), term("x;")] },
    ],
  ])("%j is read as it is meant", (text, expression) => {
    expect(parseSearch(text)).toEqual(expression);
  });

  test("a name before a colon is a field only where there is such a field", () => {
    expect(parseSearch("user:admin", ["title"])).toEqual(term("user:admin"));
    expect(parseSearch("title:admin", ["title"])).toEqual(term("admin", "title"));
  });

  test.each([
    ['a "open phrase', 3],
    ["a (b", 3],
    ["a b)", 4],
    ["()", 2],
    ["a OR", 3],
    ["OR a", 1],
    ["a OR OR b", 6],
    ["a AND", 3],
    ["AND a", 1],
    ["a OR )", 6],
    ["NOT", 1],
    ["fuzzy~3", 1],
    ['"a phrase"~2', 1],
  ])("%j is refused, and the message says where: character %i", (text, at) => {
    const refusal = refusalOf(text);
    expect(refusal).toMatchObject({ name: "StoreError", code: "refused" });
    expect(refusal.message).toContain(`character ${at}:`);
  });

  test("length, words and depth are taken up to their limits, one over is refused", () => {
    expect(parseSearch("x".repeat(2_000))).toEqual(term("x".repeat(2_000)));
    expect(refusalOf("x".repeat(2_001)).code).toBe("refused");
    expect(parseSearch("a ".repeat(64))).toMatchObject({ op: "and" });
    expect(refusalOf("a ".repeat(65)).code).toBe("refused");
    expect(parseSearch(`${"(".repeat(16)}a${")".repeat(16)}`)).toEqual(term("a"));
    expect(refusalOf(`${"(".repeat(17)}a${")".repeat(17)}`).code).toBe("refused");
  });

  test("every text parses or is refused, and nothing else is thrown", () => {
    const piece = fc.oneof(
      fc.string({ unit: "binary", maxLength: 4 }),
      fc.constantFrom(
        '"',
        "(",
        ")",
        "-",
        "*",
        "~",
        "~2",
        ":",
        "OR",
        "AND",
        "NOT",
        " ",
        "a",
        "title:",
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          expect(parseSearch(pieces.join(""))).toHaveProperty("op");
        } catch (refusal) {
          if (!(refusal instanceof StoreError)) throw refusal;
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

function refusalOf(text: string): StoreError {
  try {
    parseSearch(text);
  } catch (refusal) {
    if (refusal instanceof StoreError) return refusal;
    throw refusal;
  }
  throw new Error(`${JSON.stringify(text)} was not refused`);
}
