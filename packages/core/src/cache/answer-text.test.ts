import fc from "fast-check";
import { expect, test } from "vitest";

import { answerText, parseAnswer } from "./answer-text.ts";

test("an answer comes back as it was, its kinds of number too", () => {
  const answer = {
    rows: [{ n: 5n, big: 2n ** 60n, one: 1, whole: 2 ** 53 + 2, half: 0.5, minus: -0, none: null }],
    odd: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    text: "\u0000 ü \ud83d\ude00",
    $: "bigint",
    nested: { $: "number", value: "7" },
  };
  expect(parseAnswer(answerText(answer))).toEqual(answer);
});

test("any value of JSON, with big integers, comes back as it was", () => {
  const leaf = fc.oneof(fc.string(), fc.double(), fc.bigInt(), fc.boolean(), fc.constant(null));
  const { answer } = fc.letrec((tie) => ({
    answer: fc.oneof(
      leaf,
      fc.array(tie("answer"), { maxLength: 4 }),
      fc.dictionary(fc.oneof(fc.constant("$"), fc.string()), tie("answer"), {
        maxKeys: 4,
        noNullPrototype: true,
      }),
    ),
  }));
  fc.assert(
    fc.property(answer, (value) => {
      expect(parseAnswer(answerText(value))).toEqual(value);
    }),
  );
});
