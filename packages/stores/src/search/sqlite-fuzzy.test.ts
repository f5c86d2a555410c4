import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { FUZZY_WORDS_MAX } from "./expression.ts";
import { similarWords } from "./sqlite-fuzzy.ts";
import type { SeekWord } from "./sqlite-fuzzy.ts";

/** Seeks in a list as the index does: in order of code points. */
function seekIn(words: readonly string[]): SeekWord {
  const ordered = [...new Set(words)].sort((a, b) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
  return (from) =>
    ordered.find((word) => Buffer.compare(Buffer.from(word), Buffer.from(from)) >= 0);
}

/** Whether two words lie within a distance, by trying every edit of the first. */
function isSimilar(left: string, right: string, distance: number): boolean {
  if (left === right) return true;
  if (distance === 0) return false;
  const [a, b] = [Array.from(left), Array.from(right)];
  const same = a.findIndex((letter, index) => letter !== b[index]);
  const at = same < 0 ? a.length : same;
  const [restOfA, restOfB] = [a.slice(at), b.slice(at)];
  const one = restOfA.slice(1).join("");
  const other = restOfB.slice(1).join("");
  return (
    (restOfA.length > 0 && restOfB.length > 0 && isSimilar(one, other, distance - 1)) ||
    (restOfA.length > 0 && isSimilar(one, restOfB.join(""), distance - 1)) ||
    (restOfB.length > 0 && isSimilar(restOfA.join(""), other, distance - 1))
  );
}

describe("similar words", () => {
  test("are those within the distance, however the words are written", () => {
    const word = fc.string({
      unit: fc.constantFrom("a", "b", "c", "é", "\u{1F600}", "日"),
      maxLength: 6,
    });
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 40 }),
        word,
        fc.constantFrom(1, 2),
        (words, wanted, distance) => {
          const expected = new Set(words.filter((one) => isSimilar(wanted, one, distance)));
          expect(new Set(similarWords(wanted, distance, seekIn(words)))).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("are at most fifty: the nearest, then in order", () => {
    const words = Array.from({ length: 80 }, (_, n) => `word${String.fromCodePoint(0x4e00 + n)}`);
    const found = similarWords("word", 2, seekIn([...words, "ward", "word", "wordxx"]));
    expect(found).toHaveLength(FUZZY_WORDS_MAX);
    expect(found.slice(0, 3)).toEqual(["word", "ward", "word一"]);
    expect(found).not.toContain("wordxx");
  });

  test("of a word too long, or with too many neighbours, are refused", () => {
    const long = "x".repeat(64);
    expect(similarWords(long, 1, seekIn([long]))).toEqual([long]);
    expect(() => similarWords(`${long}x`, 1, seekIn([]))).toThrow(
      expect.objectContaining({ code: "limit" }),
    );
    // Every text has a next one here, as in an index without end.
    expect(() => similarWords("word", 2, (from) => `${from}a`)).toThrow(
      expect.objectContaining({ code: "limit" }),
    );
  });
});
