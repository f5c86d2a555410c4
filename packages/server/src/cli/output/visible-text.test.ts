import { expect, test } from "vitest";

import { cutText, textWidth, visibleLines, visibleText } from "./visible-text.ts";

test("text of an attacker cannot act on the terminal", () => {
  expect(visibleText("\u001b[2Jgone\u0007")).toBe("\\u001b[2Jgone\\u0007");
  expect(visibleText("a\u009b31mb")).toBe("a\\u009b31mb");
  expect(visibleText("abc\u202edcba")).toBe("abc\\u202edcba");
  expect(visibleText("one\ntwo\tthree\r")).toBe("one⏎two⇥three␍");
});

test("a lone surrogate becomes the replacement character", () => {
  expect(visibleText("a\ud800b")).toBe("a\ufffdb");
});

test("line ends are kept where lines are asked for", () => {
  expect(visibleLines("a\n\tb\u001b")).toBe("a\n  b\\u001b");
});

test("East Asian letters and emoji take two columns, accents none", () => {
  expect(textWidth("abc")).toBe(3);
  expect(textWidth("漢字")).toBe(4);
  expect(textWidth("🙂")).toBe(2);
  expect(textWidth("e\u0301")).toBe(1);
});

test("text at the width is kept, one column more is cut", () => {
  expect(cutText("abcdef", 6)).toBe("abcdef");
  expect(cutText("abcdefg", 6)).toBe("abcde…");
  expect(cutText("漢字漢字", 6)).toBe("漢字…");
});
