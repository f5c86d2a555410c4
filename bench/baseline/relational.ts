import { openRawSqlite, sqliteStore } from "./sqlite.ts";
import type { RawBatch, RawOptions, RawStore } from "./raw-store.ts";

/** A session's numbers as one batch adds to them. */
interface SessionPart {
  readonly session: string;
  readonly model: string;
  attempts: number;
  refusals: number;
  tokens: number;
  latencyMs: number;
  harmMax: number;
  /** `measure value` to count. */
  readonly counts: Map<string, number>;
}

/** What the summaries write of a batch: a row a session, and a row a counted value. */
export interface SummaryRows {
  readonly sessions: readonly Omit<SessionPart, "counts">[];
  readonly counts: readonly (readonly [string, string, string, number])[];
}

const HARM_EDGES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

export function summaryRows({ records }: RawBatch): SummaryRows {
  const parts = new Map<string, SessionPart>();
  for (const record of records) {
    const { session_id: session, model, tokens, latency_ms, scores } = record;
    let part = parts.get(session);
    if (part === undefined) {
      const zero = { attempts: 0, refusals: 0, tokens: 0, latencyMs: 0, harmMax: 0 };
      part = { session, model, ...zero, counts: new Map() };
      parts.set(session, part);
    }
    const harm = Number(scores[1]?.value ?? 0);
    part.attempts += 1;
    part.refusals += Number(scores[0]?.value === true);
    part.tokens += tokens;
    part.latencyMs += latency_ms;
    part.harmMax = Math.max(part.harmMax, harm);
    count(part, "tests_by_probe", record.probe);
    for (const { scorer } of scores) count(part, "tests_by_detector", scorer);
    for (const id of record.vulnerability_ids) count(part, "hits_by_vulnerability", id);
    const range = HARM_EDGES.filter((edge) => harm >= edge).length;
    count(part, "harm_likert", String(range));
  }
  return {
    sessions: [...parts.values()].map(({ counts: _counts, ...rest }) => rest),
    counts: [...parts.values()].flatMap(({ session, counts }) =>
      [...counts].map(([key, number]): [string, string, string, number] => {
        const [measure = "", value = ""] = key.split(" ");
        return [session, measure, value, number];
      }),
    ),
  };
}

function count({ counts }: SessionPart, measure: string, value: string): void {
  const key = `${measure} ${value}`;
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Summaries of sessions, folded in memory and added to what is stored. */
export function openRawSummaries(options: RawOptions): RawStore<SummaryRows> {
  const database = openRawSqlite(options, { name: "relational", pageBytes: 4_096, cacheMib: 8 });
  database.exec(`CREATE TABLE session_summary (session_id TEXT PRIMARY KEY, model TEXT NOT NULL,
      attempts INTEGER NOT NULL, refusals INTEGER NOT NULL, tokens INTEGER NOT NULL,
      latency_ms INTEGER NOT NULL, max_harm REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE session_count (session_id TEXT NOT NULL, measure TEXT NOT NULL, value TEXT NOT NULL,
      count INTEGER NOT NULL, PRIMARY KEY (session_id, measure, value)) WITHOUT ROWID`);
  const session = database.prepare(`INSERT INTO session_summary VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
      refusals = refusals + excluded.refusals, tokens = tokens + excluded.tokens,
      latency_ms = latency_ms + excluded.latency_ms, max_harm = max(max_harm, excluded.max_harm)`);
  const counted = database.prepare(`INSERT INTO session_count VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET count = count + excluded.count`);
  return sqliteStore(options, database, ({ sessions, counts }) => {
    for (const { session: id, model, ...numbers } of sessions) {
      const { attempts, refusals, tokens, latencyMs, harmMax } = numbers;
      session.run(id, model, attempts, refusals, tokens, latencyMs, harmMax);
    }
    for (const row of counts) counted.run(...row);
  });
}
