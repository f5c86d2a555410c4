import { openSqliteFile } from "../drivers/sqlite.ts";

import { textOf } from "../drivers/sqlite-collections.ts";
import { SENTINEL_CLOSE, SENTINEL_OPEN, withoutSentinels } from "./text-marks.ts";
import type { MarkedTexts } from "./text-marks.ts";

/**
 * FTS5's tokenizer for every table of this engine: Unicode letters and digits make words, case and
 * diacritics are folded (sqlite.org/fts5.html#unicode61_tokenizer).
 */
export const TOKENIZER = "unicode61 remove_diacritics 2";

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
      const clean = texts.map((row) => row.map(withoutSentinels));
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
