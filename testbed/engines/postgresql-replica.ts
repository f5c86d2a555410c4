import { access, cp, mkdir, rm, writeFile, chmod } from "node:fs/promises";
import { join } from "node:path";

import pg from "pg";

import { runCommand } from "../command.ts";
import type { Engine, Site } from "../engine.ts";
import { VERSIONS } from "../versions.ts";
import {
  askPostgres,
  fromNpm,
  installFromNpm,
  postgresCommand,
  postgresUrl,
} from "./postgresql.ts";

const SLOT = "testbed_replica";
// What a base backup leaves out: postgresql.org/docs/18/continuous-archiving.html, "Making a Base
// Backup Using the Low Level API".
const LEFT_OUT =
  /\/data\/(?:postmaster\.(?:pid|opts)|pg_wal\/.+|pg_replslot\/.+|pg_(?:dynshmem|notify|serial|snapshots|stat_tmp|subtrans)\/.+|.*\/pgsql_tmp.*)$/;

/** A streaming replica of `postgresql`, which answers reads and refuses writes. */
export const postgresqlReplica: Engine = {
  name: "postgresql-replica",
  pin: VERSIONS["postgresql-replica"],
  ports: { main: 25_434 },
  after: ["postgresql"],
  distOf: "postgresql",
  needs: ["npm"],
  isRootRefused: true,
  variable: "CUSTODY_TEST_REPLICA_URL",
  isProven: false,
  note: "asynchronous: it may be a moment behind",
  install: installFromNpm,
  async launch(site) {
    const primary = site.others["postgresql"];
    if (primary === undefined) throw new Error("a replica needs its primary");
    const isCopy = await isCopyOf(site, primary);
    if (!isCopy) await copyPrimary(site, primary);
    await writeFile(
      join(site.run, "data", "postgresql.auto.conf"),
      `primary_conninfo = 'host=127.0.0.1 port=${primary.ports["main"]} user=postgres'
primary_slot_name = '${SLOT}'
`,
    );
    return postgresCommand(site, fromNpm(site.dist));
  },
  variables: (site) => ({ CUSTODY_TEST_REPLICA_URL: postgresUrl(site) }),
};

// The primary may have been made anew since; its system identifier then is another.
async function isCopyOf({ run }: Site, primary: Site): Promise<boolean> {
  const id = await systemIdentifier(primary);
  return await access(join(run, "data", `of-${id}`)).then(
    () => true,
    () => false,
  );
}

async function systemIdentifier(primary: Site): Promise<string> {
  const sql = "SELECT system_identifier::text AS id FROM pg_control_system()";
  return await askPostgres(postgresUrl(primary), sql, "id");
}

// The npm package has no pg_basebackup, and Debian's is older than the server, which it refuses.
async function copyPrimary(site: Site, primary: Site): Promise<void> {
  const data = join(site.run, "data");
  await rm(data, { recursive: true, force: true });
  const client = new pg.Client({ connectionString: postgresUrl(primary) });
  await client.connect();
  try {
    await client.query(
      `SELECT pg_create_physical_replication_slot('${SLOT}', true)
       WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '${SLOT}')`,
    );
    await client.query("SELECT pg_backup_start('testbed', true)");
    await cp(join(primary.run, "data"), data, {
      recursive: true,
      filter: (source) => !LEFT_OUT.test(source),
    });
    const { rows } = await client.query<{ labelfile: string }>(
      "SELECT * FROM pg_backup_stop(false)",
    );
    await writeFile(join(data, "backup_label"), rows[0]?.labelfile ?? "");
  } finally {
    await client.end();
  }
  for (const folder of ["pg_wal", "pg_replslot", "pg_wal/archive_status"]) {
    await mkdir(join(data, folder), { recursive: true });
  }
  await writeFile(join(data, "standby.signal"), "");
  await writeFile(join(data, `of-${await systemIdentifier(primary)}`), "");
  await chmod(data, 0o700);
  if (site.user === undefined) return;
  const { uid, gid } = site.user;
  await runCommand("chown", ["-R", `${uid}:${gid}`, data], {
    cwd: site.run,
    log: join(site.run, "copy.log"),
  });
}
