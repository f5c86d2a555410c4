import { describe, expect, test } from "vitest";

import {
  ABSENT,
  encodedName,
  encodedTag,
  encodedText,
  isLongTag,
  lineMeasurement,
  lineText,
  plainText,
} from "./influxdb-text.ts";

describe("texts in InfluxDB", () => {
  test.each([
    ["plain", "plain"],
    ["a b,c=d", "a b,c=d"],
    ["", "%"],
    ["%", "%25"],
    ["%-", "%25-"],
    ['"; DROP', "%22; DROP"],
    ["it's $1 \\", "it%27s %241 %5C"],
    ["a\nb\u0000", "a%0Ab%00"],
    ["日本語", "日本語"],
    ["\u{1F600}", "%F0%9F%98%80"],
    ["\u00a0\ufffd", "%C2%A0%EF%BF%BD"],
  ])("%j is stored as %s, and read as it was", (text, stored) => {
    expect(encodedText(text)).toBe(stored);
    expect(plainText(stored)).toBe(text);
  });

  test.each([
    ["_time", "%5ftime"],
    ["time", "%74ime"],
    ["timer", "timer"],
    ["result", "%72esult"],
    ["custody", "%63ustody"],
    ["#note", "%23note"],
  ])("the name %s, which means something to the server, is stored as %s", (name, stored) => {
    expect(encodedName(name)).toBe(stored);
    expect(plainText(stored)).toBe(name);
  });

  test("no text is stored as an absent or a long one is", () => {
    expect(encodedTag(undefined)).toEqual({ value: ABSENT });
    expect(encodedTag("x".repeat(1_024))).toEqual({ value: "x".repeat(1_024) });
    const long = encodedTag("x".repeat(1_025));
    expect(long.longText).toBe("x".repeat(1_025));
    expect(long.value).toBe("%#c6d8e9905300876046729949cc95c2385221270d389176f7234fe7ac00c4e430");
    expect(isLongTag(long.value)).toBe(true);
    expect(isLongTag(encodedText("%#0"))).toBe(false);
  });

  test("what separates in the line protocol is escaped, and = in a measurement is not", () => {
    expect(lineText("a,b=c d")).toBe("a\\,b\\=c\\ d");
    expect(lineMeasurement("a,b=c d")).toBe("a\\,b=c\\ d");
  });
});
