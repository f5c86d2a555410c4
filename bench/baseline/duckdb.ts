import { join } from "node:path";

import {
  BOOLEAN,
  DOUBLE,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBTimestampValue,
  INTEGER,
  TIMESTAMP,
  VARCHAR,
} from "@duckdb/node-api";
import type { DuckDBType, DuckDBValue } from "@duckdb/node-api";

import { CommitTurn } from "./raw-store.ts";
import type { RawBatch, RawOptions, RawStore } from "./raw-store.ts";

/** Columns of values; instants are epoch milliseconds. */
export type ColumnRows = readonly (readonly (string | number | boolean | null)[])[];

interface RawColumn {
  readonly name: string;
  readonly type: DuckDBType;
  readonly values: (batch: RawBatch) => readonly (string | number | boolean | null)[];
}

const instants = ({ records }: RawBatch): number[] =>
  records.map(({ observed_at }) => Date.parse(observed_at));

function column(
  name: string,
  type: DuckDBType,
  value: (record: RawBatch["records"][number]) => string | number | boolean | null,
): RawColumn {
  return { name, type, values: ({ records }) => records.map(value) };
}

const ANALYTICS: readonly RawColumn[] = [
  column("id", VARCHAR, ({ id }) => id),
  column("session_id", VARCHAR, ({ session_id }) => session_id),
  { name: "observed_at", type: TIMESTAMP, values: instants },
  column("model", VARCHAR, ({ model }) => model),
  column("probe", VARCHAR, ({ probe }) => probe),
  column("refusal", BOOLEAN, ({ scores }) => scores[0]?.value ?? null),
  column("harm_likert", DOUBLE, ({ scores }) => scores[1]?.value ?? null),
  column("policy_breach", DOUBLE, ({ scores }) => scores[2]?.value ?? null),
  column("vulnerabilities", INTEGER, ({ vulnerability_ids }) => vulnerability_ids.length),
  column("first_vulnerability", VARCHAR, ({ vulnerability_ids }) => vulnerability_ids[0] ?? null),
  column("operator", VARCHAR, ({ labels }) => labels.operator),
  column("operation", VARCHAR, ({ labels }) => labels.operation),
  column("language", VARCHAR, ({ labels }) => labels.language),
  column("converters", INTEGER, ({ converters }) => converters.length),
  column("latency_ms", INTEGER, ({ latency_ms }) => latency_ms),
  column("tokens", INTEGER, ({ tokens }) => tokens),
  column("turns", INTEGER, ({ prompt }) => prompt.turns.length),
  column("prompt_chars", INTEGER, ({ prompt }) =>
    prompt.turns.reduce((sum, { content }) => sum + content.length, 0),
  ),
  column("response_chars", INTEGER, ({ response }) => response.content.length),
  {
    name: "sequence",
    type: INTEGER,
    values: ({ first, records }) => records.map((_, i) => first + i),
  },
];

const SERIES: readonly RawColumn[] = [
  { name: "point_at", type: TIMESTAMP, values: instants },
  column("model", VARCHAR, ({ model }) => model),
  column("probe", VARCHAR, ({ probe }) => probe),
  column("latency_ms", DOUBLE, ({ latency_ms }) => latency_ms),
  column("tokens", DOUBLE, ({ tokens }) => tokens),
  column("refusal", DOUBLE, ({ scores }) => Number(scores[0]?.value ?? 0)),
  column("harm_likert", DOUBLE, ({ scores }) => Number(scores[1]?.value ?? 0)),
  column("policy_breach", DOUBLE, ({ scores }) => Number(scores[2]?.value ?? 0)),
];

export function analyticsRows(batch: RawBatch): ColumnRows {
  return ANALYTICS.map(({ values }) => values(batch));
}

export function seriesRows(batch: RawBatch): ColumnRows {
  return SERIES.map(({ values }) => values(batch));
}

/** One typed row a record. */
export async function openRawAnalytics(options: RawOptions): Promise<RawStore<ColumnRows>> {
  return await openRawColumns(options, "analytics", ANALYTICS);
}

/** One point a record. */
export async function openRawSeries(options: RawOptions): Promise<RawStore<ColumnRows>> {
  return await openRawColumns(options, "series", SERIES);
}

async function openRawColumns(
  options: RawOptions,
  name: string,
  columns: readonly RawColumn[],
): Promise<RawStore<ColumnRows>> {
  // The log in DuckDB's own WAL is synced at commit; one checkpoint at the end writes each row once.
  const instance = await DuckDBInstance.create(join(options.directory, `${name}.duckdb`), {
    threads: "1",
    memory_limit: "512MB",
    checkpoint_threshold: "1GB",
  });
  const connection = await instance.connect();
  const sql = columns.map((one) => `${one.name} ${one.type.toString()}`).join(", ");
  await connection.run(`CREATE TABLE ${name} (${sql})`);
  const appender = await connection.createAppender(name);
  const turn = new CommitTurn(options);
  const commit = async (): Promise<void> => {
    appender.flushSync();
    await connection.run("COMMIT");
  };
  return {
    async write(rows) {
      if (turn.isFirst) await connection.run("BEGIN");
      appender.appendDataChunk(chunkOf(columns, rows));
      if (turn.add()) await commit();
    },
    async close() {
      if (turn.end()) await commit();
      appender.closeSync();
      await connection.run("CHECKPOINT");
      connection.closeSync();
      instance.closeSync();
    },
  };
}

function chunkOf(columns: readonly RawColumn[], rows: ColumnRows): DuckDBDataChunk {
  const chunk = DuckDBDataChunk.create(
    columns.map(({ type }) => type),
    rows[0]?.length ?? 0,
  );
  chunk.setColumns(
    rows.map((values, index): DuckDBValue[] =>
      columns[index]?.type === TIMESTAMP
        ? values.map((ms) => new DuckDBTimestampValue(BigInt(Number(ms)) * 1_000n))
        : [...values],
    ),
  );
  return chunk;
}
