import { openSqliteFile } from "../drivers/sqlite.ts";

import { textOf } from "../drivers/sqlite-collections.ts";

/**
 * FTS5's tokenizer for every table of this engine: Unicode letters and digits make words, case and
 * diacritics are folded (sqlite.org/fts5.html#unicode61_tokenizer).
 */
export const TOKENIZER = "unicode61 remove_diacritics 2";

// Texts are given to `highlight` piece by piece, as its own memory is the only place they lie in.
const SENTINEL_OPEN = "\u{FDD0}";
const SENTINEL_CLOSE = "\u{FDD1}";
// Sentinels are noncharacters that no text should hold; FTS5's highlight() ends a piece at NUL.
const SENTINELS = /[\0\uFDD0\uFDD1]/gu;

/** FTS5's own view of texts, in memory: which words a text has, and where a match lies in it. */
export class SqliteTokens implements Disposable {
  readonly #database = openSqliteFile({ path: ":memory:", durability: "projection" });

  constructor() {
    this.#database.exec(`CREATE VIRTUAL TABLE probe USING fts5(text, tokenize='${TOKENIZER}');
      CREATE VIRTUAL TABLE probe_words USING fts5vocab(probe, instance)`);
  }

  /** A text's words in order, folded as in the index. */
  words(text: string): readonly string[] {
    const database = this.#database;
    database.prepare("INSERT INTO probe (rowid, text) VALUES (1, ?)").run(text);
    const rows = database.prepare('SELECT term FROM probe_words ORDER BY "offset"').all();
    database.exec("DELETE FROM probe");
    return rows.map((row) => textOf(row["term"]));
  }

  /** The texts with sentinels around each match, one answer a text. */
  mark(columns: number, texts: readonly (readonly string[])[], match: string): MarkedTexts {
    const database = this.#database;
    const names = Array.from({ length: columns }, (_, index) => `t${index}`);
    database.exec(
      `CREATE VIRTUAL TABLE marked USING fts5(${names.join(", ")}, tokenize='${TOKENIZER}')`,
    );
    try {
      const places = names.map(() => "?").join(", ");
      const insert = database.prepare(
        `INSERT INTO marked (rowid, ${names.join(", ")}) VALUES (?, ${places})`,
      );
      const clean = texts.map((row) => row.map((text) => text.replaceAll(SENTINELS, "\u{FFFD}")));
      for (const [index, row] of clean.entries()) insert.run(index, ...row);
      const marks = names.map(
        (name, index) =>
          `highlight(marked, ${index}, '${SENTINEL_OPEN}', '${SENTINEL_CLOSE}') AS ${name}`,
      );
      const select = database.prepare(
        `SELECT rowid AS _row, ${marks.join(", ")} FROM marked WHERE marked MATCH ?`,
      );
      const marked = clean.map((row) => [...row]);
      for (const row of select.all(match)) {
        marked[Number(row["_row"])] = names.map((name) => textOf(row[name]));
      }
      return marked;
    } finally {
      database.exec("DROP TABLE marked");
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** Texts with sentinels around matches; see {@link cutAroundMarks}. */
export type MarkedTexts = readonly (readonly string[])[];

/** How marks are shown, and how much of a text. */
export interface MarkStyle {
  readonly open: string;
  readonly close: string;
  /** Characters of text to show, marks and the dots of a cut not counted. */
  readonly lengthMax: number;
}

const ELLIPSIS = "…";

/** Puts the wanted marks in place of sentinels and keeps the part of a long text that has the first. */
export function cutAroundMarks(marked: string, { open, close, lengthMax }: MarkStyle): string {
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
