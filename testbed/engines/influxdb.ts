import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Engine } from "../engine.ts";
import { buildGoSource } from "../sources/go.ts";
import { VERSIONS } from "../versions.ts";
import { askHttp } from "./probes.ts";

/** InfluxDB 1.8, which also answers the interfaces of 2.x for writing and Flux. */
export const influxdb: Engine = {
  name: "influxdb",
  pin: VERSIONS.influxdb,
  ports: { main: 28_086, backup: 28_088 },
  needs: ["go"],
  variable: "CUSTODY_TEST_INFLUXDB_URL",
  isProven: true,
  note: "1.8 without users; of the 2.x interface it has writing and Flux, not buckets and deletion",
  install: async (directory, version) =>
    await buildGoSource(directory, {
      module: `github.com/influxdata/influxdb@${version}`,
      package: "./cmd/influxd",
      binary: "influxd",
    }),
  async launch({ dist, run, ports }) {
    const data = join(run, "data");
    const file = join(run, "influxdb.conf");
    await mkdir(data, { recursive: true });
    await writeFile(
      file,
      `reporting-disabled = true
bind-address = "127.0.0.1:${ports["backup"]}"
[meta]
  dir = "${data}/meta"
[data]
  dir = "${data}/data"
  wal-dir = "${data}/wal"
  index-version = "tsi1"
  query-log-enabled = false
[retention]
  check-interval = "10s"
[continuous_queries]
  run-interval = "1s"
  log-enabled = false
[http]
  bind-address = "127.0.0.1:${ports["main"]}"
  auth-enabled = false
  flux-enabled = true
  log-enabled = false
[monitor]
  store-enabled = false
`,
    );
    return {
      program: join(dist, "bin", "influxd"),
      args: ["-config", file],
      probe: async () => {
        await askHttp(`http://127.0.0.1:${ports["main"]}/ping`);
        return VERSIONS.influxdb.version.slice(1);
      },
    };
  },
  variables: ({ ports }) => ({
    CUSTODY_TEST_INFLUXDB_URL: `influxdb://127.0.0.1:${ports["main"]}`,
  }),
};
