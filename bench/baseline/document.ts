import { openRawSqlite, sqliteStore } from "./sqlite.ts";
import type { RawBatch, RawOptions, RawStore } from "./raw-store.ts";

/** What the document store writes of a batch. */
export interface DocumentRows {
  readonly first: number;
  readonly bodies: readonly Uint8Array[];
  readonly ids: readonly string[];
  readonly sessions: readonly string[];
  readonly times: readonly string[];
  readonly links: readonly (readonly [string, number])[];
}

export function documentRows({ first, lines, records }: RawBatch): DocumentRows {
  const links = records.flatMap(({ vulnerability_ids }, index) =>
    vulnerability_ids.map((id) => [id, first + index] as const),
  );
  return {
    first,
    bodies: lines,
    ids: records.map(({ id }) => id),
    sessions: records.map(({ session_id }) => session_id),
    times: records.map(({ observed_at }) => observed_at),
    // In the order of the link table, so that its pages are met once.
    links: links.sort(([left], [right]) => Number(left > right) - Number(left < right)),
  };
}

/** Documents as JSONB with the indexes of the placement: session, time, vulnerabilities. */
export function openRawDocuments(options: RawOptions): RawStore<DocumentRows> {
  const database = openRawSqlite(options, { name: "document", pageBytes: 16_384, cacheMib: 64 });
  database.exec(`CREATE TABLE document (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
      session_id TEXT NOT NULL, observed_at TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX document_session ON document (session_id);
    CREATE INDEX document_observed ON document (observed_at);
    CREATE TABLE document_vulnerability (vulnerability_id TEXT NOT NULL, n INTEGER NOT NULL,
      PRIMARY KEY (vulnerability_id, n)) WITHOUT ROWID`);
  // Bytes bound as a blob and cast: no UTF-16 on the way.
  const add = database.prepare("INSERT INTO document VALUES (?, ?, ?, ?, jsonb(CAST(? AS TEXT)))");
  const link = database.prepare("INSERT INTO document_vulnerability VALUES (?, ?)");
  return sqliteStore(options, database, ({ first, ids, sessions, times, bodies, links }) => {
    for (const [index, id] of ids.entries()) {
      add.run(
        first + index,
        id,
        sessions[index] ?? null,
        times[index] ?? null,
        bodies[index] ?? null,
      );
    }
    for (const [vulnerability, n] of links) link.run(vulnerability, n);
  });
}
