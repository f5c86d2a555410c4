import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Engine } from "../engine.ts";
import { installNpmPackage } from "../sources/npm.ts";
import { VERSIONS } from "../versions.ts";
import { askHttp } from "./probes.ts";

/** ClickHouse's SQL engine behind the testbed's own HTTP front. */
export const clickhouse: Engine = {
  name: "clickhouse",
  pin: VERSIONS.clickhouse,
  ports: { main: 28_123 },
  needs: ["npm"],
  variable: "CUSTODY_TEST_CLICKHOUSE_URL",
  isProven: true,
  note: "the SQL engine and its storage are ClickHouse's, the HTTP front is the testbed's: no users, one statement at a time",
  install: async (directory, version) => await installNpmPackage(directory, `chdb@${version}`),
  async launch({ dist, run, ports }) {
    await mkdir(join(run, "data"), { recursive: true });
    const front = fileURLToPath(new URL("../clickhouse-front.ts", import.meta.url));
    return {
      program: process.execPath,
      args: [front, String(ports["main"]), join(run, "data"), dist],
      probe: async () => {
        const query = encodeURIComponent("SELECT version()");
        return (await askHttp(`http://127.0.0.1:${ports["main"]}/?query=${query}`)).trim();
      },
    };
  },
  variables: ({ ports }) => ({
    CUSTODY_TEST_CLICKHOUSE_URL: `clickhouse://127.0.0.1:${ports["main"]}`,
  }),
};
