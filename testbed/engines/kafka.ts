import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { authorityFile, testbedCertificates } from "../certificates.ts";
import { runCommand } from "../command.ts";
import type { Engine, Site } from "../engine.ts";
import { jvmOptions, requireJdk } from "../sources/java.ts";
import { copyMavenArtifacts } from "../sources/maven.ts";
import { VERSIONS } from "../versions.ts";
import { requirePort } from "./probes.ts";

const JAVA_MIN = 17;
// The slf4j that Kafka itself is built with; a binding must match.
const SLF4J = "org.slf4j:slf4j-simple:1.7.36";

/** Kafka as one node, broker and controller, with listeners in clear, with TLS, with SCRAM and behind a proxy. */
export const kafka: Engine = {
  name: "kafka",
  pin: VERSIONS.kafka,
  // `proxied` listens for toxiproxy and tells clients to come to `proxy`, where toxiproxy listens.
  ports: {
    main: 29_092,
    controller: 29_093,
    proxied: 29_094,
    proxy: 29_095,
    scram: 29_096,
    tls: 29_097,
  },
  needs: ["mvn", "java", "openssl"],
  isJava: true,
  variable: "CUSTODY_TEST_KAFKA_URL",
  isProven: true,
  install: async (directory, version) =>
    await copyMavenArtifacts(directory, [`org.apache.kafka:kafka_2.13:${version}`, SLF4J]),
  async launch(site) {
    const { dist, run, ports } = site;
    const jdk = await requireJdk(JAVA_MIN);
    const java = join(jdk.home, "bin", "java");
    const file = join(run, "server.properties");
    const options = [
      ...jvmOptions("256m", jdk),
      "-Djava.net.preferIPv4Stack=true",
      "-Dorg.slf4j.simpleLogger.showDateTime=true",
      "-cp",
      join(dist, "lib", "*"),
    ];
    await mkdir(join(run, "data"), { recursive: true });
    await writeFile(file, await properties(site));
    const isFormatted = await access(join(run, "data", "meta.properties")).then(
      () => true,
      () => false,
    );
    if (!isFormatted) {
      const id = `A${randomBytes(16).toString("base64url").slice(1)}`;
      const user = "SCRAM-SHA-256=[name=testbed,password=testbed-password]";
      await runCommand(
        java,
        [
          ...options,
          "kafka.tools.StorageTool",
          "format",
          "-t",
          id,
          "-c",
          file,
          "--add-scram",
          user,
        ],
        { cwd: run, log: join(run, "format.log") },
      );
    }
    return {
      program: java,
      args: [...options, "kafka.Kafka", file],
      probe: async () => {
        const log = await readFile(join(run, "server.log"), "utf8");
        if (!log.includes("Kafka Server started")) throw new Error("kafka has not started");
        await requirePort(ports["main"]);
        return VERSIONS.kafka.version;
      },
    };
  },
  variables: ({ home, ports }) => ({
    CUSTODY_TEST_KAFKA_URL: `kafka://127.0.0.1:${ports["main"]}`,
    CUSTODY_TEST_KAFKA_PROXY: `${ports["proxy"]}:${ports["proxied"]}`,
    CUSTODY_TEST_KAFKA_SCRAM_URL: `kafka://testbed:testbed-password@127.0.0.1:${ports["scram"]}?sasl=scram-sha-256`,
    CUSTODY_TEST_KAFKA_TLS_URL: `kafka://127.0.0.1:${ports["tls"]}?tls=true&ca=${authorityFile(home)}`,
  }),
};

async function properties({ home, run, ports }: Site): Promise<string> {
  const certificates = await testbedCertificates(home);
  const pem = join(run, "server.pem");
  const [key, certificate] = await Promise.all([
    readFile(certificates.serverKey, "utf8"),
    readFile(certificates.serverCert, "utf8"),
  ]);
  await writeFile(pem, `${key}${certificate}`);
  const at = (name: string): string => `127.0.0.1:${ports[name]}`;
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@${at("controller")}
controller.listener.names=CONTROLLER
listeners=CLEAR://${at("main")},CONTROLLER://${at("controller")},PROXIED://${at("proxied")},SCRAM://${at("scram")},TLS://${at("tls")}
advertised.listeners=CLEAR://${at("main")},PROXIED://${at("proxy")},SCRAM://${at("scram")},TLS://${at("tls")}
listener.security.protocol.map=CLEAR:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SCRAM:SASL_PLAINTEXT,TLS:SSL
inter.broker.listener.name=CLEAR
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.scram.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location=${pem}
log.dirs=${join(run, "data")}
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
num.network.threads=2
num.io.threads=2
`;
}
