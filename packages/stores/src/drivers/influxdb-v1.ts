import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { Influxdb, InfluxdbDialect, InfluxdbRange } from "./influxdb.ts";

// Statements of one request: about 100 KB of text.
const STATEMENTS_MAX = 500;

/**
 * InfluxDB 1.8: databases in place of buckets, and InfluxQL for what Flux cannot do
 * (docs.influxdata.com/influxdb/v1/query_language/manage-database).
 */
export class InfluxdbV1 implements InfluxdbDialect {
  readonly #server: Influxdb;

  constructor(server: Influxdb) {
    this.#server = server;
  }

  bucketName(bucket: string): string {
    return `${bucket}/autogen`;
  }

  async listBuckets(scope: Scope): Promise<readonly string[]> {
    const [databases] = await this.#ask(scope, "list databases", "SHOW DATABASES");
    return (databases?.rows ?? []).map(([name]) => String(name));
  }

  async makeBucket(scope: Scope, bucket: string): Promise<void> {
    await this.#ask(
      scope,
      "make a database",
      `CREATE DATABASE ${identifier(bucket)} WITH DURATION INF SHARD DURATION ${SHARD} NAME "autogen"`,
    );
  }

  async dropBucket(scope: Scope, bucket: string): Promise<void> {
    await this.#ask(scope, "drop a database", `DROP DATABASE ${identifier(bucket)}`);
  }

  async deleteRanges(
    scope: Scope,
    bucket: string,
    ranges: readonly InfluxdbRange[],
  ): Promise<void> {
    for (let at = 0; at < ranges.length; at += STATEMENTS_MAX) {
      const statements = ranges.slice(at, at + STATEMENTS_MAX).map(deletion);
      await this.#ask(scope, "delete points", statements.join("; "), bucket);
    }
  }

  async bucketBytes(scope: Scope): Promise<ReadonlyMap<string, number>> {
    const bytes = new Map<string, number>();
    const shards = await this.#ask(scope, "say its size", "SHOW STATS FOR 'shard'");
    for (const { tags, columns, rows } of shards) {
      const size = Number(rows[0]?.[columns.indexOf("diskBytes")] ?? 0);
      const database = tags["database"] ?? "";
      bytes.set(database, (bytes.get(database) ?? 0) + size);
    }
    return bytes;
  }

  async #ask(
    scope: Scope,
    doing: string,
    statements: string,
    database?: string,
  ): Promise<readonly InfluxqlTable[]> {
    const to = database === undefined ? "" : `?db=${encodeURIComponent(database)}`;
    const answer = await this.#server.request(scope, {
      doing,
      method: "POST",
      path: `/query${to}`,
      body: `q=${encodeURIComponent(statements)}`,
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
    return tablesOf(doing, answer);
  }
}

// A month: points of years ago would otherwise make a shard for each week, which costs memory.
const SHARD = "4w";

interface InfluxqlTable {
  readonly tags: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** Reads the answer of `/query`; a statement that failed is told within it. */
function tablesOf(doing: string, answer: unknown): readonly InfluxqlTable[] {
  const { results = [] } = (answer ?? {}) as {
    readonly results?: readonly {
      readonly error?: string;
      readonly series?: readonly {
        readonly tags?: Readonly<Record<string, string>>;
        readonly columns?: readonly string[];
        readonly values?: readonly (readonly unknown[])[];
      }[];
    }[];
  };
  return results.flatMap(({ error, series = [] }) => {
    if (error !== undefined) {
      throw new StoreError("unavailable", `InfluxDB could not ${doing}: ${error}`);
    }
    return series.map(({ tags = {}, columns = [], values = [] }) => ({
      tags,
      columns,
      rows: values,
    }));
  });
}

function deletion({ measurement, tags, from, to }: InfluxdbRange): string {
  const conditions = tags.map(([name, value]) => `${identifier(name)} = '${literal(value)}'`);
  const times = from === to ? [`time = ${from}`] : [`time >= ${from}`, `time <= ${to}`];
  return `DELETE FROM ${identifier(measurement)} WHERE ${[...conditions, ...times].join(" AND ")}`;
}

function identifier(name: string): string {
  return `"${name.replaceAll(/["\\]/g, "\\$&")}"`;
}

function literal(text: string): string {
  return text.replaceAll(/['\\]/g, "\\$&");
}
