import { access, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { testbedCertificates } from "../certificates.ts";
import { runCommand } from "../command.ts";
import type { Engine, Site } from "../engine.ts";
import { jvmOptions, requireJdk } from "../sources/java.ts";
import { copyMavenArtifacts } from "../sources/maven.ts";
import { VERSIONS } from "../versions.ts";
import { requirePort } from "./probes.ts";

const JAVA_MIN = 17;
const PASSWORD = "engines-password";

/** Neo4j Community: Bolt with a password, in clear or with TLS on the same port. */
export const neo4j: Engine = {
  name: "neo4j",
  pin: VERSIONS.neo4j,
  ports: { main: 27_687 },
  needs: ["mvn", "java", "openssl"],
  isJava: true,
  variable: "CUSTODY_TEST_NEO4J_URL",
  isProven: true,
  install: async (directory, version) =>
    await copyMavenArtifacts(directory, [
      `org.neo4j.app:neo4j-server:${version}`,
      `org.neo4j:neo4j:${version}`,
      `org.neo4j:neo4j-security:${version}`,
    ]),
  async launch(site) {
    const { dist, run, ports } = site;
    const jdk = await requireJdk(JAVA_MIN);
    const java = join(jdk.home, "bin", "java");
    const options = [
      ...jvmOptions("512m", jdk),
      "-Dfile.encoding=UTF-8",
      "-Dio.netty.tryReflectionSetAccessible=true",
      ...["java.nio", "java.io", "sun.nio.ch"].map(
        (name) => `--add-opens=java.base/${name}=ALL-UNNAMED`,
      ),
      "-cp",
      join(dist, "lib", "*"),
    ];
    const conf = join(run, "conf");
    await writeConfiguration(site, conf);
    const isMade = await access(join(run, "data", "dbms", "auth.ini")).then(
      () => true,
      () =>
        access(join(run, "data", "databases")).then(
          () => true,
          () => false,
        ),
    );
    if (!isMade) {
      const args = ["org.neo4j.cli.AdminTool", "dbms", "set-initial-password", PASSWORD];
      await runCommand(java, [...options, ...args], {
        cwd: run,
        environment: { NEO4J_HOME: run, NEO4J_CONF: conf },
        log: join(run, "password.log"),
      });
    }
    const main = "org.neo4j.server.CommunityEntryPoint";
    return {
      program: java,
      args: [...options, main, `--home-dir=${run}`, `--config-dir=${conf}`, "--console-mode"],
      probe: async () => {
        const log = await readFile(join(run, "server.log"), "utf8");
        if (!/INFO\s+Started\./.test(log)) throw new Error("neo4j has not started");
        await requirePort(ports["main"]);
        return VERSIONS.neo4j.version;
      },
    };
  },
  variables: ({ ports }) => ({
    CUSTODY_TEST_NEO4J_URL: `bolt://neo4j:${PASSWORD}@127.0.0.1:${ports["main"]}`,
  }),
};

async function writeConfiguration({ home, run, ports }: Site, conf: string): Promise<void> {
  const certificates = await testbedCertificates(home);
  const folder = join(run, "certificates", "bolt");
  await mkdir(conf, { recursive: true });
  await mkdir(join(run, "logs"), { recursive: true });
  await mkdir(folder, { recursive: true });
  await copyFile(certificates.serverKey, join(folder, "private.key"));
  await copyFile(certificates.serverCert, join(folder, "public.crt"));
  await writeFile(
    join(conf, "neo4j.conf"),
    `server.default_listen_address=127.0.0.1
server.default_advertised_address=127.0.0.1
server.bolt.enabled=true
server.bolt.listen_address=127.0.0.1:${ports["main"]}
server.bolt.advertised_address=127.0.0.1:${ports["main"]}
server.bolt.tls_level=OPTIONAL
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory=certificates/bolt
dbms.ssl.policy.bolt.private_key=private.key
dbms.ssl.policy.bolt.public_certificate=public.crt
dbms.ssl.policy.bolt.client_auth=NONE
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
server.memory.pagecache.size=64m
`,
  );
}
