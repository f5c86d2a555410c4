// Evidence holds what attackers wrote. Control characters and those that change the direction of
// writing could redraw a terminal (CVE-2021-42574 and its kin), so they are shown, never sent.
const UNSAFE = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;
const NAMED: Readonly<Record<string, string>> = { "\n": "⏎", "\t": "⇥", "\r": "␍" };

/** Text on one line that cannot act on a terminal: control characters are written out. */
export function visibleText(text: string): string {
  return text
    .toWellFormed()
    .replace(
      UNSAFE,
      (character) =>
        NAMED[character] ?? `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
    );
}

/** Like {@link visibleText}, with line breaks and tabs kept, for longer texts. */
export function visibleLines(text: string): string {
  return text
    .split("\n")
    .map((line) => visibleText(line.replaceAll("\t", "  ")))
    .join("\n");
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const ASCII = /^[\u0020-\u007e]*$/;
// East Asian wide and fullwidth blocks (unicode.org/reports/tr11), and emoji, take two columns.
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** Columns that visible text takes on a terminal. */
export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** Visible text cut to at most `width` columns; a cut ends in `…`. */
export function cutText(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let used = 1;
  let kept = "";
  for (const { segment } of graphemes.segment(text)) {
    used += WIDE.test(segment) ? 2 : 1;
    if (used > width) break;
    kept += segment;
  }
  return `${kept}…`;
}
