import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { MongoClient } from "mongodb";

import type { Engine } from "../engine.ts";
import { buildGoSource } from "../sources/go.ts";
import { requireJdk, jvmOptions } from "../sources/java.ts";
import { compileJava, copyMavenArtifacts } from "../sources/maven.ts";
import { VERSIONS } from "../versions.ts";

const JAVA_MIN = 17;

/** FerretDB on SQLite: a database behind MongoDB's protocol, with wrong corners. */
export const ferretdb: Engine = {
  name: "ferretdb",
  pin: VERSIONS.ferretdb,
  ports: { main: 27_117 },
  needs: ["go"],
  variable: "CUSTODY_TEST_FERRETDB_URL",
  isProven: true,
  note: "not MongoDB: updates are not atomic under concurrency, several operators answer wrongly",
  install: async (directory, version) =>
    await buildGoSource(directory, {
      module: `github.com/FerretDB/FerretDB@${version}`,
      package: "./cmd/ferretdb",
      binary: "ferretdb",
      // A generated file without which the program refuses to start.
      amend: async (source) =>
        await writeFile(join(source, "build", "version", "version.txt"), `${version}\n`),
    }),
  async launch({ dist, run, ports }) {
    const data = join(run, "data");
    await mkdir(join(data, "sqlite"), { recursive: true });
    await mkdir(join(data, "state"), { recursive: true });
    return {
      program: join(dist, "bin", "ferretdb"),
      args: [
        "--handler=sqlite",
        `--sqlite-url=file:${join(data, "sqlite")}/`,
        `--listen-addr=127.0.0.1:${ports["main"]}`,
        "--debug-addr=-",
        `--state-dir=${join(data, "state")}`,
        "--telemetry=disable",
        "--log-level=WARN",
      ],
      environment: { DO_NOT_TRACK: "1" },
      probe: async () => {
        await pingMongo(ports["main"]);
        return VERSIONS.ferretdb.version.slice(1);
      },
    };
  },
  variables: ({ ports }) => ({
    CUSTODY_TEST_FERRETDB_URL: `mongodb://127.0.0.1:${ports["main"]}`,
  }),
};

/** A second, independent reading of MongoDB's protocol, in memory. */
export const mongojava: Engine = {
  name: "mongojava",
  pin: VERSIONS.mongojava,
  ports: { main: 27_118 },
  needs: ["mvn", "java"],
  isJava: true,
  variable: "CUSTODY_TEST_MONGOJAVA_URL",
  isProven: false,
  note: "in memory: proves what queries mean, not that data last",
  async install(directory, version) {
    const group = "de.bwaldvogel";
    await copyMavenArtifacts(directory, [`${group}:mongo-java-server:${version}`]);
    const { home } = await requireJdk(JAVA_MIN);
    await compileJava(directory, { javaHome: home, name: "MongoNode", source: MONGO_NODE });
  },
  async launch({ dist, ports }) {
    const jdk = await requireJdk(JAVA_MIN);
    const classes = `${join(dist, "classes")}:${join(dist, "lib", "*")}`;
    return {
      program: join(jdk.home, "bin", "java"),
      args: [...jvmOptions("256m", jdk), "-cp", classes, "MongoNode", String(ports["main"])],
      probe: async () => {
        await pingMongo(ports["main"]);
        return VERSIONS.mongojava.version;
      },
    };
  },
  variables: ({ ports }) => ({
    CUSTODY_TEST_MONGOJAVA_URL: `mongodb://127.0.0.1:${ports["main"]}`,
  }),
};

// MongoDB's driver refuses a server that speaks an older protocol than it knows; the operations that
// Custody uses are the same in both.
const MONGO_NODE = `import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** Argument: port. */
public class MongoNode {
    public static void main(String[] a) {
        MongoServer server = new MongoServer(new MemoryBackend().version(new MongoVersion() {
            public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
            public int getWireVersion() { return 13; }
        }));
        server.bind("127.0.0.1", Integer.parseInt(a[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}
`;

async function pingMongo(port: number | undefined): Promise<void> {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}`, {
    serverSelectionTimeoutMS: 1_500,
    connectTimeoutMS: 1_500,
    directConnection: true,
  });
  try {
    await client.db("admin").command({ listDatabases: 1 });
  } finally {
    await client.close();
  }
}
