import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

import { readCommand } from "./command.ts";
import { exportLines, print } from "./report.ts";

/** What tests are told of the compose file's services, whose ports are fixed. */
export const COMPOSE_VARIABLES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  postgresql: { CUSTODY_TEST_POSTGRESQL_URL: "postgresql://postgres@127.0.0.1:25432/postgres" },
  timescaledb: { CUSTODY_TEST_TIMESCALEDB_URL: "timescale://postgres@127.0.0.1:25435/postgres" },
  mongodb: { CUSTODY_TEST_MONGODB_URL: "mongodb://127.0.0.1:27117" },
  redis: { CUSTODY_TEST_REDIS_URL: "redis://127.0.0.1:26379" },
  kafka: {
    CUSTODY_TEST_KAFKA_URL: "kafka://127.0.0.1:29092",
    CUSTODY_TEST_KAFKA_PROXY: "29095:29094",
  },
  opensearch: { CUSTODY_TEST_OPENSEARCH_URL: "opensearch://127.0.0.1:29200" },
  elasticsearch: { CUSTODY_TEST_ELASTICSEARCH_URL: "elasticsearch://127.0.0.1:29201" },
  clickhouse: { CUSTODY_TEST_CLICKHOUSE_URL: "clickhouse://default:testbed@127.0.0.1:28123" },
  neo4j: { CUSTODY_TEST_NEO4J_URL: "bolt://neo4j:engines-password@127.0.0.1:27687" },
  s3: { CUSTODY_TEST_S3_URL: "s3://minioadmin:minioadmin@127.0.0.1:29000" },
  influxdb: {
    CUSTODY_TEST_INFLUXDB_URL: "influxdb://:testbed-token@127.0.0.1:28086/custody?org=testbed",
  },
  kms: {
    CUSTODY_TEST_KMS_URL:
      "aws-kms://testbed:testbed-password@eu-central-1/alias/custody?endpoint=http://127.0.0.1:25600",
  },
  vault: {
    CUSTODY_TEST_VAULT_URL: "vault://:testbed-token@127.0.0.1:28200/transit/custody?tls=false",
  },
  toxiproxy: { CUSTODY_TEST_TOXIPROXY_URL: "http://127.0.0.1:28474" },
};

/** Starts services of the compose file and prints their URLs. */
export async function composeUp(names: readonly string[]): Promise<number> {
  await requireDocker();
  const code = await compose("up", "--detach", "--wait", ...names);
  const services = names.length === 0 ? Object.keys(COMPOSE_VARIABLES) : names;
  for (const name of code === 0 ? services : []) {
    for (const line of exportLines(COMPOSE_VARIABLES[name] ?? {})) print(line);
  }
  return code;
}

/** Stops services of the compose file, and removes what they kept. */
export async function composeDown(names: readonly string[]): Promise<number> {
  await requireDocker();
  return await compose("down", "--volumes", ...names);
}

async function requireDocker(): Promise<void> {
  await readCommand("docker", ["info"]).catch((cause: unknown) => {
    throw new Error("no Docker engine answers here (docker info)", { cause });
  });
}

async function compose(...args: readonly string[]): Promise<number> {
  const file = fileURLToPath(new URL("compose.yaml", import.meta.url));
  const child = spawn("docker", ["compose", "--file", file, ...args], { stdio: "inherit" });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
