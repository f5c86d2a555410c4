import type { Engine } from "../engine.ts";
import { clickhouse } from "./clickhouse.ts";
import { influxdb } from "./influxdb.ts";
import { kms } from "./kms.ts";
import { kafka } from "./kafka.ts";
import { ferretdb, mongojava } from "./mongodb-wire.ts";
import { neo4j } from "./neo4j.ts";
import { elasticsearch, opensearch } from "./opensearch.ts";
import { pgbouncer } from "./pgbouncer.ts";
import { postgresqlReplica } from "./postgresql-replica.ts";
import { postgresql, postgresql15 } from "./postgresql.ts";
import { redis } from "./redis.ts";
import { s3, s3Tls } from "./s3.ts";
import { toxiproxy } from "./toxiproxy.ts";

/** Every engine that the testbed can get from packages; those that others stand on come first. */
export const ENGINES: readonly Engine[] = [
  toxiproxy,
  postgresql,
  postgresql15,
  postgresqlReplica,
  pgbouncer,
  redis,
  clickhouse,
  ferretdb,
  s3,
  s3Tls,
  influxdb,
  kms,
  kafka,
  neo4j,
  opensearch,
  elasticsearch,
  mongojava,
];

/** A server whose URL only somebody else can give. */
export interface GivenServer {
  readonly name: string;
  readonly variable: string;
  readonly why: string;
}

/** Servers that tests know and no package registry has. */
export const GIVEN_SERVERS: readonly GivenServer[] = [
  {
    name: "vault",
    variable: "CUSTODY_TEST_VAULT_URL",
    why: "its build takes longer than those of all others together",
  },
  {
    name: "mongodb",
    variable: "CUSTODY_TEST_MONGODB_URL",
    why: "no server can be had from packages",
  },
  {
    name: "timescaledb",
    variable: "CUSTODY_TEST_TIMESCALEDB_URL",
    why: "no server can be had from packages",
  },
];
