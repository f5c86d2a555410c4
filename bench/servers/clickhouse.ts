import { createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";

import type { RawBatch, RawStore } from "../baseline/raw-store.ts";
import { installationOf, serverAddress } from "./raw-server.ts";

type Cell = string | number | boolean | null;

/** A typed row of analytics by column name. */
export type AnalyticsRow = Readonly<Record<string, Cell>>;

/** The typed columns of each record, instants in epoch milliseconds. */
export function columnRows({ records }: RawBatch): readonly AnalyticsRow[] {
  return records.map((record) => ({
    id: record.id,
    session_id: record.session_id,
    observed_at: Date.parse(record.observed_at),
    model: record.model,
    probe: record.probe,
    refusal: record.scores[0]?.value ?? null,
    harm_likert: record.scores[1]?.value ?? null,
    policy_breach: record.scores[2]?.value ?? null,
    vulnerabilities: record.vulnerability_ids.length,
    first_vulnerability: record.vulnerability_ids[0] ?? null,
    operator: record.labels.operator,
    operation: record.labels.operation,
    language: record.labels.language,
    converters: record.converters.length,
    latency_ms: record.latency_ms,
    tokens: record.tokens,
    turns: record.prompt.turns.length,
    prompt_chars: record.prompt.turns.reduce((sum, { content }) => sum + content.length, 0),
    response_chars: record.response.content.length,
    hits: 0,
  }));
}

const COLUMNS = `id String, session_id String, observed_at DateTime64(3, 'UTC'), model Nullable(String),
  probe Nullable(String), refusal Nullable(Bool), harm_likert Nullable(Float64),
  policy_breach Nullable(Float64), vulnerabilities Nullable(Int64), first_vulnerability Nullable(String),
  operator Nullable(String), operation Nullable(String), language Nullable(String),
  converters Nullable(Int64), latency_ms Nullable(Int64), tokens Nullable(Int64), turns Nullable(Int64),
  prompt_chars Nullable(Int64), response_chars Nullable(Int64), hits Nullable(Int64)`;

/** The table that the raw client writes to and reads from. */
export function rawTable(url: string): {
  readonly client: ClickHouseClient;
  readonly table: string;
} {
  const client = createClient({ url: serverAddress(url, "http") });
  return { client, table: `${installationOf(url)}.session_evidence` };
}

/** Rows as JSONEachRow, a part for each batch. */
export async function openRawClickhouse(url: string): Promise<RawStore<readonly AnalyticsRow[]>> {
  const { client, table } = rawTable(url);
  await client.command({ query: `CREATE DATABASE ${installationOf(url)}` });
  await client.command({
    query: `CREATE TABLE ${table} (${COLUMNS}) ENGINE = MergeTree ORDER BY id`,
  });
  return {
    async write(values) {
      await client.insert({ table, values: [...values], format: "JSONEachRow" });
    },
    close: () => client.close(),
  };
}
