import type { DatabaseSync } from "node:sqlite";

import { quoteName } from "../drivers/sqlite-fragment.ts";
import { textOf } from "../drivers/sqlite-collections.ts";
import { StoreError } from "../errors.ts";
import { firstRow, nextRow } from "./edit-distance.ts";
import type { DistanceRow } from "./edit-distance.ts";
import { FUZZY_LENGTH_MAX, FUZZY_WORDS_MAX } from "./expression.ts";

// One look-up took 10 microseconds in one segment and 190 in 100 of them, so this bounds a fuzzy word
// to about a second. Words of eight letters needed 180 look-ups (one letter) and 1,550 (two) in an
// index of 20,000 words.
const FUZZY_LOOKUPS_MAX = 6_000;

/** Finds the first indexed word that is not before `from` in code point order. */
export type SeekWord = (from: string) => string | undefined;

/** Seeks in an FTS5 table's words through its fts5vocab table of kind `instance`. */
export function seekWordIn(database: DatabaseSync, vocabulary: string): SeekWord {
  const first = database.prepare(
    `SELECT term FROM ${quoteName(vocabulary)} WHERE term >= ? ORDER BY term LIMIT 1`,
  );
  return (from) => {
    const row = first.get(from);
    return row === undefined ? undefined : textOf(row["term"]);
  };
}

/**
 * Lists the indexed words within an edit distance (insertions, deletions, replacements).
 *
 * The words are walked like a trie: after a word that cannot match, the walk goes on at the next
 * text that could, so its length depends on the word and not on the size of the index.
 *
 * @throws StoreError `limit` for a word of more than 64 letters or one with too many neighbours.
 */
export function similarWords(word: string, distance: number, seek: SeekWord): readonly string[] {
  const wanted = Array.from(word);
  if (wanted.length > FUZZY_LENGTH_MAX) {
    throw new StoreError("limit", `a fuzzy word has at most ${FUZZY_LENGTH_MAX} letters`);
  }
  const found: { readonly text: string; readonly distance: number }[] = [];
  let from: string | undefined = "";
  for (let lookups = 0; from !== undefined; lookups += 1) {
    if (lookups > FUZZY_LOOKUPS_MAX) {
      throw new StoreError(
        "limit",
        "a fuzzy word has too many neighbours; let fewer letters differ",
      );
    }
    const candidate = seek(from);
    if (candidate === undefined) break;
    const letters = Array.from(candidate);
    const rows = liveRows(wanted, letters, distance);
    const last = rows.at(-1)?.[wanted.length] ?? distance + 1;
    if (rows.length > letters.length && last <= distance)
      found.push({ text: candidate, distance: last });
    from = nextCandidate(wanted, letters, rows, distance);
  }
  return found
    .sort((left, right) => left.distance - right.distance || (left.text < right.text ? -1 : 1))
    .slice(0, FUZZY_WORDS_MAX)
    .map(({ text }) => text);
}

/** Levenshtein rows of the candidate's prefixes, up to the last prefix that can still lead to a match. */
function liveRows(
  wanted: readonly string[],
  letters: readonly string[],
  distance: number,
): DistanceRow[] {
  let row = firstRow(wanted);
  const rows = [row];
  for (const letter of letters) {
    row = nextRow(row, wanted, letter);
    if (Math.min(...row) > distance) break;
    rows.push(row);
  }
  return rows;
}

/** The least text after the candidate that can begin a match, or `undefined` when there is none. */
function nextCandidate(
  wanted: readonly string[],
  letters: readonly string[],
  rows: readonly DistanceRow[],
  distance: number,
): string | undefined {
  for (let length = rows.length - 1; length >= 0; length -= 1) {
    const row = rows[length];
    if (row === undefined) continue;
    const next = nextLetter(wanted, row, letters[length], distance);
    if (next !== undefined) return letters.slice(0, length).join("") + next;
  }
  return undefined;
}

/** The least letter after `current` (or at all) that may follow a prefix with this row. */
function nextLetter(
  wanted: readonly string[],
  row: DistanceRow,
  current: string | undefined,
  distance: number,
): string | undefined {
  const least = current === undefined ? "" : current;
  if (Math.min(...row) < distance) return current === undefined ? "\u0001" : following(current);
  // No further difference is allowed: only letters of the word that continue a best alignment.
  const allowed = wanted.filter(
    (letter, index) => row[index] === distance && compare(letter, least) > 0,
  );
  return allowed.sort(compare)[0];
}

function following(letter: string): string | undefined {
  const point = (letter.codePointAt(0) ?? 0) + 1;
  if (point > 0x10_ff_ff) return undefined;
  // Surrogates are no characters, so none of them is in a word.
  return String.fromCodePoint(point >= 0xd8_00 && point <= 0xdf_ff ? 0xe0_00 : point);
}

function compare(left: string, right: string): number {
  return (left.codePointAt(0) ?? -1) - (right.codePointAt(0) ?? -1);
}
