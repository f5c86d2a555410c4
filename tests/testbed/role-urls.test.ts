import { expect, test } from "vitest";

import {
  chosenUrls,
  installationUrl,
  missingServers,
  roleUrls,
  roleVariables,
} from "../../testbed/role-urls.ts";

const environment = {
  CUSTODY_TEST_POSTGRESQL_URL: "postgresql://ana:s%40crt@db:5432/evidence?pool=4",
  CUSTODY_TEST_MONGODB_URL: "mongodb://host:27017",
  CUSTODY_TEST_FERRETDB_URL: "mongodb://host:27018",
  CUSTODY_TEST_INFLUXDB_URL: "influxdb://:token@host:8086?org=lab",
  CUSTODY_TEST_OPENSEARCH_URL: "opensearch://host:9200",
  CUSTODY_TEST_CLICKHOUSE_URL: "clickhouse://host:8123",
  CUSTODY_TEST_NEO4J_URL: "bolt://neo4j:pass@host:7687",
  CUSTODY_TEST_S3_URL: "s3://KEY:SECRET@host:9000",
  CUSTODY_TEST_REDIS_URL: "redis://host:6379",
};

test("an installation lies on each server in the way of its product", () => {
  const urls = roleUrls(environment, "e2e1");
  expect(chosenUrls(urls)).toEqual({
    document: "mongodb://host:27017/e2e1",
    relational: "postgresql://ana:s%40crt@db:5432/evidence?pool=4&schema=e2e1",
    series: "postgresql://ana:s%40crt@db:5432/evidence?pool=4&schema=e2e1",
    search: "opensearch://host:9200/e2e1",
    analytics: "clickhouse://host:8123/e2e1",
    graph: "bolt://neo4j:pass@host:7687/e2e1",
    blob: "s3://KEY:SECRET@host:9000/custody-e2e1/e2e1?create=true",
    cache: "redis://host:6379?prefix=e2e1",
    queue: "redis://host:6379?prefix=e2e1",
  });
  expect(missingServers(urls)).toEqual(["stream (kafka)"]);
});

test("a role that several servers can play is played by the one that is chosen", () => {
  const urls = roleUrls(environment, "e2e1");
  expect(urls.document).toEqual([
    { server: "mongodb", url: "mongodb://host:27017/e2e1" },
    { server: "ferretdb", url: "mongodb://host:27018/e2e1?timeout=180000" },
  ]);
  expect(chosenUrls(urls, { series: "influxdb" }).series).toBe(
    "influxdb://:token@host:8086/e2e1?org=lab",
  );
});

test("another installation takes the place of the one in a URL", () => {
  expect(installationUrl("mongodb://host:27017/production?replica-set=rs0", "e2e1")).toBe(
    "mongodb://host:27017/e2e1?replica-set=rs0",
  );
  expect(installationUrl("rediss://host:6379/2?prefix=production", "e2e1")).toBe(
    "rediss://host:6379/2?prefix=e2e1",
  );
  // A bucket that is given is kept to: making another may not be allowed.
  expect(installationUrl("s3s://host/evidence/production?object-lock=true", "e2e1")).toBe(
    "s3s://host/evidence/e2e1?object-lock=true",
  );
});

test("a name that some product would not take, or a product that is not known, is refused", () => {
  expect(() => installationUrl("redis://host", "E2E-1")).toThrow("no name for an installation");
  expect(() => installationUrl("mysql://host", "e2e1")).toThrow("no product that is known");
});

test("Custody is told of servers by variables", () => {
  expect(roleVariables({ blob: "s3://host/bucket" })).toEqual({
    CUSTODY_BLOB_URL: "s3://host/bucket",
  });
});
