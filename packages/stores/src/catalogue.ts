import type { StoreRole } from "@custody/contract/placement";

/** Where an engine's code is: a module of this package and the function in it that opens a store. */
export interface EngineModule {
  /** Below `@custody/stores/`. */
  readonly module: string;
  readonly open: string;
}

/** One engine that can play a role. */
export interface EngineEntry extends EngineModule {
  readonly role: StoreRole;
  readonly engine: string;
  /** What it is, for people. */
  readonly product: string;
  /** Schemes of the URLs that choose it; none for the embedded engine, which needs no URL. */
  readonly schemes: readonly string[];
  /** Where its files lie below a tenant's directory, for embedded engines. */
  readonly file?: string;
  /** What is encrypted at rest by Custody, and what is not. */
  readonly atRest: "sealed" | "plain";
  /** What keeps the journal itself, for engines of the relational role. */
  readonly journal?: EngineModule;
}

/** Every engine of every role: what goes where, on one screen. */
export const ENGINES: readonly EngineEntry[] = [
  {
    role: "relational",
    engine: "sqlite",
    product: "SQLite",
    schemes: [],
    file: "relational.sqlite",
    atRest: "plain",
    module: "relational/sqlite",
    open: "openSqliteRelational",
    journal: { module: "relational/sqlite-journal", open: "openSqliteJournal" },
  },
  {
    role: "relational",
    engine: "postgresql",
    product: "PostgreSQL",
    schemes: ["postgresql", "postgres"],
    atRest: "plain",
    module: "relational/postgresql",
    open: "openPostgresqlRelational",
    journal: { module: "relational/postgresql-journal", open: "openPostgresqlJournal" },
  },
  {
    role: "document",
    engine: "sqlite",
    product: "SQLite JSONB",
    schemes: [],
    file: "document.sqlite",
    atRest: "plain",
    module: "document/sqlite",
    open: "openSqliteDocumentStore",
  },
  {
    role: "document",
    engine: "mongodb",
    product: "MongoDB",
    schemes: ["mongodb", "mongodb+srv"],
    atRest: "plain",
    module: "document/mongodb",
    open: "openMongodbDocumentStore",
  },
  {
    role: "series",
    engine: "duckdb",
    product: "DuckDB",
    schemes: [],
    file: "series.duckdb",
    atRest: "plain",
    module: "series/duckdb",
    open: "openDuckdbSeries",
  },
  {
    role: "series",
    engine: "postgresql",
    product: "PostgreSQL or TimescaleDB",
    schemes: ["postgresql", "postgres", "timescale"],
    atRest: "plain",
    module: "series/postgresql",
    open: "openPostgresqlSeries",
  },
  {
    role: "series",
    engine: "influxdb",
    product: "InfluxDB",
    schemes: ["influxdb", "influxdbs"],
    atRest: "plain",
    module: "series/influxdb",
    open: "openInfluxdbSeries",
  },
  {
    role: "search",
    engine: "sqlite",
    product: "SQLite FTS5",
    schemes: [],
    file: "search.sqlite",
    atRest: "plain",
    module: "search/sqlite",
    open: "openSqliteSearchStore",
  },
  {
    role: "search",
    engine: "opensearch",
    product: "OpenSearch or Elasticsearch",
    schemes: ["opensearch", "opensearchs", "elasticsearch", "elasticsearchs"],
    atRest: "plain",
    module: "search/opensearch",
    open: "openOpensearchSearch",
  },
  {
    role: "analytics",
    engine: "duckdb",
    product: "DuckDB",
    schemes: [],
    file: "analytics.duckdb",
    atRest: "plain",
    module: "analytics/duckdb",
    open: "openDuckdbAnalytics",
  },
  {
    role: "analytics",
    engine: "clickhouse",
    product: "ClickHouse",
    schemes: ["clickhouse", "clickhouses"],
    atRest: "plain",
    module: "analytics/clickhouse",
    open: "openClickhouseAnalytics",
  },
  {
    role: "graph",
    engine: "ladybug",
    product: "LadybugDB",
    schemes: [],
    file: "graph-1-1.lbug",
    atRest: "plain",
    module: "graph/ladybug",
    open: "openLadybugGraph",
  },
  {
    role: "graph",
    engine: "neo4j",
    product: "Neo4j",
    schemes: ["neo4j", "neo4j+s", "bolt", "bolt+s"],
    atRest: "plain",
    module: "graph/neo4j",
    open: "openNeo4jGraph",
  },
  {
    role: "blob",
    engine: "files",
    product: "file system",
    schemes: [],
    file: "blobs",
    atRest: "sealed",
    module: "blob/files",
    open: "openFileBlobStore",
  },
  {
    role: "blob",
    engine: "s3",
    product: "S3",
    schemes: ["s3", "s3s"],
    atRest: "sealed",
    module: "blob/s3",
    open: "openS3BlobStore",
  },
  {
    role: "cache",
    engine: "memory",
    product: "in process, with SQLite behind it",
    schemes: [],
    file: "cache.sqlite",
    atRest: "plain",
    module: "cache/memory",
    open: "openMemoryCache",
  },
  {
    role: "cache",
    engine: "redis",
    product: "Redis",
    schemes: ["redis", "rediss"],
    atRest: "plain",
    module: "cache/redis",
    open: "openRedisCache",
  },
  {
    role: "queue",
    engine: "sqlite",
    product: "SQLite",
    schemes: [],
    file: "queue.sqlite",
    atRest: "plain",
    module: "queue/sqlite",
    open: "openSqliteQueue",
  },
  {
    role: "queue",
    engine: "bullmq",
    product: "BullMQ on Redis",
    schemes: ["redis", "rediss"],
    atRest: "plain",
    module: "queue/bullmq",
    open: "openBullmqQueue",
  },
  {
    role: "stream",
    engine: "journal",
    product: "a cursor over the journal",
    schemes: [],
    file: "stream.sqlite",
    atRest: "plain",
    module: "stream/journal-cursor",
    open: "openJournalStream",
  },
  {
    role: "stream",
    engine: "kafka",
    product: "Kafka",
    schemes: ["kafka", "kafkas"],
    atRest: "plain",
    module: "stream/kafka",
    open: "openKafkaStream",
  },
];

/** The engine that plays a role unless a URL says otherwise. */
export function embeddedEngine(role: StoreRole): EngineEntry {
  const entry = ENGINES.find((one) => one.role === role && one.schemes.length === 0);
  if (entry === undefined) throw new Error(`the catalogue lists no embedded engine for ${role}`);
  return entry;
}

/** The engine that a URL chooses for a role; `undefined` when its scheme is none of theirs. */
export function serverEngine(role: StoreRole, url: string): EngineEntry | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase() ?? "";
  return ENGINES.find((one) => one.role === role && one.schemes.includes(scheme));
}
