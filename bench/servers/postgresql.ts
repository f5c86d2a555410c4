import pg from "pg";

import { summaryRows } from "../baseline/relational.ts";
import type { SummaryRows } from "../baseline/relational.ts";
import type { RawBatch, RawStore } from "../baseline/raw-store.ts";

export { summaryRows };

/** Columns of points: instants in epoch milliseconds, tags, fields. */
export interface PointColumns {
  readonly at: readonly number[];
  readonly models: readonly string[];
  readonly probes: readonly string[];
  /** latency_ms, tokens, refusal, harm_likert, policy_breach. */
  readonly fields: readonly (readonly number[])[];
}

export function pointColumns({ records }: RawBatch): PointColumns {
  return {
    at: records.map(({ observed_at }) => Date.parse(observed_at)),
    models: records.map(({ model }) => model),
    probes: records.map(({ probe }) => probe),
    fields: [
      records.map(({ latency_ms }) => latency_ms),
      records.map(({ tokens }) => tokens),
      ...[0, 1, 2].map((n) => records.map(({ scores }) => Number(scores[n]?.value ?? 0))),
    ],
  };
}

/** A connection, and the schema that the raw client writes to and reads from. */
export async function rawPostgresql(
  url: string,
): Promise<{ readonly client: pg.Client; readonly schema: string }> {
  const [place = "", query = ""] = url.split(/\?(.*)/s, 2);
  const client = new pg.Client(place);
  await client.connect();
  return { client, schema: `${new URLSearchParams(query).get("schema") ?? ""}_bench` };
}

/** Points with an index by time, inserted from arrays: one statement a batch. */
export async function openRawSeries(url: string): Promise<RawStore<PointColumns>> {
  const { client, schema } = await rawPostgresql(url);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema};
    CREATE TABLE ${schema}.point (at timestamptz NOT NULL, model text, probe text,
      latency_ms float8, tokens float8, refusal float8, harm_likert float8, policy_breach float8);
    CREATE INDEX ON ${schema}.point (at)`);
  const insert = {
    name: "points",
    text: `INSERT INTO ${schema}.point SELECT to_timestamp(ms / 1000), model, probe, a, b, c, d, e
      FROM unnest($1::float8[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[],
        $7::float8[], $8::float8[]) AS r (ms, model, probe, a, b, c, d, e)`,
  };
  return {
    async write({ at, models, probes, fields }) {
      await client.query({ ...insert, values: [at, models, probes, ...fields] });
    },
    close: () => client.end(),
  };
}

/** Summaries of sessions, folded in memory and added to what is stored, a transaction a batch. */
export async function openRawSummaries(url: string): Promise<RawStore<SummaryRows>> {
  const { client, schema } = await rawPostgresql(url);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema};
    CREATE TABLE ${schema}.session_summary (session_id text PRIMARY KEY, model text NOT NULL,
      attempts bigint NOT NULL, refusals bigint NOT NULL, tokens float8 NOT NULL,
      latency_ms float8 NOT NULL, max_harm float8 NOT NULL);
    CREATE TABLE ${schema}.session_count (session_id text, measure text, value text,
      count bigint NOT NULL, PRIMARY KEY (session_id, measure, value))`);
  const session = {
    name: "sessions",
    text: `INSERT INTO ${schema}.session_summary AS old SELECT * FROM unnest($1::text[], $2::text[],
        $3::bigint[], $4::bigint[], $5::float8[], $6::float8[], $7::float8[])
      ON CONFLICT (session_id) DO UPDATE SET attempts = old.attempts + excluded.attempts,
        refusals = old.refusals + excluded.refusals, tokens = old.tokens + excluded.tokens,
        latency_ms = old.latency_ms + excluded.latency_ms,
        max_harm = greatest(old.max_harm, excluded.max_harm)`,
  };
  const counted = {
    name: "counts",
    text: `INSERT INTO ${schema}.session_count AS old
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
      ON CONFLICT (session_id, measure, value) DO UPDATE SET count = old.count + excluded.count`,
  };
  return {
    async write({ sessions, counts }) {
      const numbers = (["attempts", "refusals", "tokens", "latencyMs", "harmMax"] as const).map(
        (name) => sessions.map((one) => one[name]),
      );
      const ids = sessions.map((one) => one.session);
      const models = sessions.map(({ model }) => model);
      await client.query("BEGIN");
      await client.query({ ...session, values: [ids, models, ...numbers] });
      await client.query({
        ...counted,
        values: [0, 1, 2, 3].map((column) => counts.map((row) => row[column])),
      });
      await client.query("COMMIT");
    },
    close: () => client.end(),
  };
}
