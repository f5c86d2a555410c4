import type { HighlightRequest } from "./port.ts";

/** Stand around what a search meets until the wanted marks take their place: noncharacters, which no text should hold. */
export const SENTINEL_OPEN = "\u{FDD0}";
export const SENTINEL_CLOSE = "\u{FDD1}";

// FTS5's highlight() ends a piece at NUL.
const SENTINELS = /[\0\uFDD0\uFDD1]/gu;

/** A text in which sentinels can be put: what it had of them is replaced. */
export function withoutSentinels(text: string): string {
  return text.replaceAll(SENTINELS, "\u{FFFD}");
}

/** The texts of a request in order of `fieldNames`, one list a record; "" where it has none. */
export function orderedTexts(
  texts: HighlightRequest["texts"],
  fieldNames: readonly string[],
): readonly (readonly string[])[] {
  return texts.map((row) => fieldNames.map((name) => ownText(row, name) ?? ""));
}

/** Texts marked with sentinels, by name as they were asked for, in the style that was asked for. */
export function shownTexts(
  { texts, mark, lengthMax }: HighlightRequest,
  fieldNames: readonly string[],
  marked: MarkedTexts,
): readonly Readonly<Record<string, string>>[] {
  return texts.map((row, index) =>
    // `fromEntries` makes own members of any name, also of `__proto__`.
    Object.fromEntries(
      fieldNames.flatMap((name, position): [string, string][] => {
        if (ownText(row, name) === undefined) return [];
        const text = marked[index]?.[position] ?? "";
        return [[name, cutAroundMarks(text, { ...mark, lengthMax })]];
      }),
    ),
  );
}

function ownText(row: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(row, name) ? row[name] : undefined;
}

/** Texts with sentinels around matches. */
export type MarkedTexts = readonly (readonly string[])[];

/** How marks are shown, and how much of a text. */
interface MarkStyle {
  readonly open: string;
  readonly close: string;
  /** Characters of text to show, marks and the dots of a cut not counted. */
  readonly lengthMax: number;
}

const ELLIPSIS = "…";

/** Puts the wanted marks in place of sentinels and keeps the part of a long text that has the first. */
function cutAroundMarks(marked: string, { open, close, lengthMax }: MarkStyle): string {
  const first = marked.indexOf(SENTINEL_OPEN);
  const lengthOfText = marked.length - countSentinels(marked);
  const start = lengthOfText <= lengthMax ? 0 : cutStart(marked, first, lengthOfText, lengthMax);
  let shown = start > 0 ? ELLIPSIS : "";
  let at = 0;
  let isOpen = false;
  for (const character of marked) {
    const isInside = at >= start && at < start + lengthMax;
    if (character === SENTINEL_OPEN || character === SENTINEL_CLOSE) {
      const isOpening = character === SENTINEL_OPEN;
      if (isOpening ? isInside : isOpen) shown += isOpening ? open : close;
      isOpen = isOpening && isInside;
      continue;
    }
    if (isInside && at + character.length <= start + lengthMax) shown += character;
    else if (at >= start + lengthMax) break;
    at += character.length;
  }
  if (isOpen) shown += close;
  return start + lengthMax < lengthOfText ? shown + ELLIPSIS : shown;
}

/** Where the shown part begins: a quarter of it before the first match, at a word's beginning. */
function cutStart(marked: string, first: number, length: number, lengthMax: number): number {
  if (first < 0) return 0;
  const wanted = Math.max(0, Math.min(first - Math.floor(lengthMax / 4), length - lengthMax));
  const space = marked.indexOf(" ", wanted);
  if (wanted === 0) return 0;
  return space >= 0 && space < first ? space + 1 : Math.min(first, wanted);
}

function countSentinels(text: string): number {
  let count = 0;
  for (const character of text) {
    if (character === SENTINEL_OPEN || character === SENTINEL_CLOSE) count += 1;
  }
  return count;
}
