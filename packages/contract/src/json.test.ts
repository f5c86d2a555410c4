import { describe, expect, test } from "vitest";

import { canonicalJson, parseJson, stringifyJson } from "./json.ts";

describe("JSON", () => {
  test("whole numbers beyond 2^53 keep every digit", () => {
    expect(parseJson("9007199254740991")).toBe(9007199254740991);
    expect(parseJson("9007199254740993")).toBe(9007199254740993n);
    expect(parseJson("-9007199254740993")).toBe(-9007199254740993n);
    expect(parseJson('{"a":[18446744073709551615]}')).toEqual({ a: [18446744073709551615n] });
    expect(stringifyJson({ a: 18446744073709551615n })).toBe('{"a":18446744073709551615}');
  });

  test("digits in text stay text, and fractions stay numbers", () => {
    expect(parseJson('"9007199254740993"')).toBe("9007199254740993");
    expect(parseJson("0.1234567890123456789")).toBe(0.12345678901234568);
    expect(parseJson("1e300")).toBe(1e300);
    expect(Object.is(parseJson("-0"), -0)).toBe(true);
  });

  test("a member named __proto__ is an own member and reaches no prototype", () => {
    for (const text of ['{"__proto__":{"x":1}}', '{"__proto__":{"x":1},"n":9007199254740993}']) {
      const value = parseJson(text);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect(Object.hasOwn(value as object, "__proto__")).toBe(true);
      expect(stringifyJson(value)).toBe(text);
    }
  });

  test("what is no JSON is refused with a code", () => {
    for (const text of ["", "{", "[1,]", "{'a':1}", "01", "NaN", "1 2", '"\u0001"']) {
      expect(() => parseJson(text)).toThrow(
        expect.objectContaining({ name: "ContractError", code: "invalid-json" }),
      );
    }
  });

  test("the canonical form sorts members by UTF-16 units and has no white space", () => {
    // The example of RFC 8785, §3.2.3.
    const value = {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\u{1f600}": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    };
    expect(canonicalJson(value)).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control",' +
        '"\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign",' +
        '"\u{1f600}":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    );
  });

  test("the canonical form writes numbers as ECMAScript does and leaves out what is undefined", () => {
    expect(canonicalJson([333333333.3333333, 1e30, 4.5, 0.002, 1e-27, -0])).toBe(
      "[333333333.3333333,1e+30,4.5,0.002,1e-27,0]",
    );
    expect(canonicalJson({ b: undefined, a: [undefined, 9007199254740993n] })).toBe(
      '{"a":[null,9007199254740993]}',
    );
    expect(canonicalJson("\ud800")).toBe('"\\ud800"');
  });
});
