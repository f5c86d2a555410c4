import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Engine } from "../engine.ts";
import { unpackDebianPackages, unpackedLibraries } from "../sources/debian.ts";
import { VERSIONS } from "../versions.ts";
import { askPostgres, postgresUrl } from "./postgresql.ts";

/** PgBouncer in front of `postgresql`, lending connections for one transaction each. */
export const pgbouncer: Engine = {
  name: "pgbouncer",
  pin: VERSIONS.pgbouncer,
  ports: { main: 26_432 },
  after: ["postgresql"],
  needs: ["apt-get", "dpkg-deb"],
  isRootRefused: true,
  variable: "CUSTODY_TEST_PGBOUNCER_URL",
  isProven: true,
  note: "transaction pooling; Debian 12 has 1.18, which knows no prepared statements across it",
  install: async (directory) =>
    await unpackDebianPackages(directory, ["pgbouncer", "libc-ares2", "libevent-2.1-7"]),
  async launch(site) {
    const file = join(site.run, "pgbouncer.ini");
    const primary = site.others["postgresql"];
    await writeFile(
      file,
      `[databases]
* = host=127.0.0.1 port=${primary?.ports["main"]} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${site.ports["main"]}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
`,
    );
    return {
      program: join(site.dist, "root", "usr", "sbin", "pgbouncer"),
      args: [file],
      environment: await unpackedLibraries(site.dist),
      stopSignal: "SIGINT",
      probe: async () => {
        await askPostgres(postgresUrl(site), "SELECT 'one' AS one", "one");
        return VERSIONS.pgbouncer.version;
      },
    };
  },
  variables: (site) => ({ CUSTODY_TEST_PGBOUNCER_URL: postgresUrl(site) }),
};
