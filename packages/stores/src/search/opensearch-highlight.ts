import { isWithinDistance } from "./edit-distance.ts";
import { termsOf } from "./expression.ts";
import type { SearchExpression, SearchTerm } from "./expression.ts";
import { foldedWords } from "./opensearch-match.ts";
import { wordsIn } from "./opensearch-words.ts";
import type { FoldWord } from "./opensearch-words.ts";
import { SENTINEL_CLOSE, SENTINEL_OPEN, withoutSentinels } from "./text-marks.ts";
import type { MarkedTexts } from "./text-marks.ts";

/** A place of words that a term meets: from the first to the last, both met. */
type Place = readonly [first: number, last: number];

interface WantedTerm {
  readonly field: string | undefined;
  /** Where in a text's folded words the term stands. */
  readonly places: (words: readonly string[]) => Iterable<Place>;
}

/** Puts sentinels around what the wanted terms of an expression meet, by the index's own words. */
export function markTexts(
  rows: readonly (readonly string[])[],
  fieldNames: readonly string[],
  { expression, fold }: { readonly expression: SearchExpression; readonly fold: FoldWord },
): MarkedTexts {
  const terms = termsOf(expression, "wanted").flatMap((term) => compileTerm(term, fold) ?? []);
  return rows.map((row) =>
    row.map((text, position) => {
      const name = fieldNames[position];
      const asked = terms.filter(({ field }) => field === undefined || field === name);
      const clean = withoutSentinels(text);
      return asked.length === 0 ? clean : markText(clean, asked, fold);
    }),
  );
}

function compileTerm(term: SearchTerm, fold: FoldWord): WantedTerm | undefined {
  const { field } = term;
  const wanted = foldedWords(term.text, fold);
  const last = wanted.at(-1);
  if (last === undefined) return undefined;
  if (term.op === "fuzzy") {
    const { distance } = term;
    const isMet = (word: string): boolean =>
      wanted.some((one) => isWithinDistance(one, word, distance));
    return { field, places: (words) => sequences(words, [isMet]) };
  }
  const tests = wanted.map((one) => (word: string) => word === one);
  if (term.op === "prefix") tests.splice(-1, 1, (word) => word.startsWith(last));
  return { field, places: (words) => sequences(words, tests) };
}

/** Where words in a row meet one test each. */
function* sequences(
  words: readonly string[],
  tests: readonly ((word: string) => boolean)[],
): Generator<Place> {
  for (let first = 0; first + tests.length <= words.length; first += 1) {
    const isMet = tests.every((test, index) => test(words[first + index] ?? ""));
    if (isMet) yield [first, first + tests.length - 1];
  }
}

function markText(text: string, terms: readonly WantedTerm[], fold: FoldWord): string {
  const found = wordsIn(text);
  const words = found.map((word) => fold(word.text));
  const places = terms.flatMap((term) => [...term.places(words)]);
  if (places.length === 0) return text;
  let marked = "";
  let at = 0;
  for (const [first, last] of joinPlaces(places)) {
    const start = found[first]?.start ?? at;
    const end = found[last]?.end ?? start;
    marked += `${text.slice(at, start)}${SENTINEL_OPEN}${text.slice(start, end)}${SENTINEL_CLOSE}`;
    at = end;
  }
  return marked + text.slice(at);
}

/** Places in order, those with a word in common as one. */
function joinPlaces(places: readonly Place[]): readonly Place[] {
  const joined: [number, number][] = [];
  for (const [first, last] of places.toSorted((left, right) => left[0] - right[0])) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before[1]) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}
