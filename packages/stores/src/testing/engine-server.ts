import { createHash } from "node:crypto";

import { describe, test } from "vitest";

/** A server that engine tests run against; each has a variable `CUSTODY_TEST_<NAME>_URL`. */
export type TestServer =
  | "postgresql"
  | "postgresql15"
  | "pgbouncer"
  | "timescaledb"
  | "s3"
  | "redis"
  | "kafka"
  | "opensearch"
  | "elasticsearch"
  | "clickhouse"
  | "neo4j"
  | "mongodb"
  | "ferretdb"
  | "mongojava"
  | "influxdb"
  | "kms"
  | "vault"
  | "toxiproxy";

/** The URL of a server that was started or given for the tests; `undefined` when there is none. */
export function testServerUrl(server: TestServer): string | undefined {
  const url = process.env[`CUSTODY_TEST_${server.toUpperCase()}_URL`];
  return url === "" ? undefined : url;
}

/**
 * Tests against a real server. Without one they are skipped by name; `npm run test:engines` lists
 * what was not proven, and fails for it where every engine is asked for.
 */
export function describeOnServer(server: TestServer, tests: (url: string) => void): void {
  const url = testServerUrl(server);
  describe.skipIf(url === undefined)(`on ${server}`, () => {
    // The body runs to find its tests, also where they are skipped; it could not read an address.
    if (url === undefined) test("a server is given for it", () => undefined);
    else tests(url);
  });
}

/** A short name for what one test keeps on a shared server, made from its home directory. */
export function serverName(home: string): string {
  return `t${createHash("sha256").update(home).digest("hex").slice(0, 12)}`;
}
