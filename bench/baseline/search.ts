import { openRawSqlite, sqliteStore } from "./sqlite.ts";
import type { RawBatch, RawOptions, RawStore } from "./raw-store.ts";

/** What the search store writes of a batch. */
export interface SearchRows {
  readonly first: number;
  readonly prompts: readonly string[];
  readonly responses: readonly string[];
  readonly ids: readonly string[];
  readonly models: readonly string[];
  readonly probes: readonly string[];
  readonly sessions: readonly string[];
  readonly vulnerabilities: readonly string[];
}

export function searchRows({ first, records }: RawBatch): SearchRows {
  return {
    first,
    prompts: records.map(({ prompt }) => prompt.turns.map(({ content }) => content).join("\n")),
    responses: records.map(({ response }) => response.content),
    ids: records.map(({ id }) => id),
    models: records.map(({ model }) => model),
    probes: records.map(({ probe }) => probe),
    sessions: records.map(({ session_id }) => session_id),
    vulnerabilities: records.map(({ vulnerability_ids }) => JSON.stringify(vulnerability_ids)),
  };
}

// The in-memory hash must hold a whole transaction, and nothing is merged while loading.
const SETTINGS: readonly (readonly [string, bigint])[] = [
  ["hashsize", 256n << 20n],
  ["automerge", 0n],
  ["crisismerge", 1_999n],
  ["pgsz", 8_000n],
];

/** FTS5 without the texts, and a row of the values to narrow by beside each. */
export function openRawSearch(options: RawOptions): RawStore<SearchRows> {
  const database = openRawSqlite(options, { name: "search", pageBytes: 16_384, cacheMib: 64 });
  database.exec(`CREATE VIRTUAL TABLE search USING fts5 (prompt, response, content='', contentless_delete=1);
    CREATE TABLE filter (n INTEGER PRIMARY KEY, id TEXT NOT NULL, model TEXT, probe TEXT,
      session_id TEXT, vulnerability_ids TEXT)`);
  const set = database.prepare("INSERT INTO search (search, rank) VALUES (?, ?)");
  for (const [name, value] of SETTINGS) set.run(name, value);
  const add = database.prepare("INSERT INTO search (rowid, prompt, response) VALUES (?, ?, ?)");
  const note = database.prepare("INSERT INTO filter VALUES (?, ?, ?, ?, ?, ?)");
  return sqliteStore(options, database, (rows) => {
    const { first, ids, prompts, responses, models, probes, sessions, vulnerabilities } = rows;
    for (const [index, id] of ids.entries()) {
      const n = first + index;
      add.run(n, prompts[index] ?? null, responses[index] ?? null);
      const values = [models, probes, sessions, vulnerabilities].map((list) => list[index] ?? null);
      note.run(n, id, ...values);
    }
  });
}
