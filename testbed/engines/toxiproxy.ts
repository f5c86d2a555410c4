import { join } from "node:path";

import type { Engine } from "../engine.ts";
import { installGoProgram } from "../sources/go.ts";
import { VERSIONS } from "../versions.ts";
import { askHttp } from "./probes.ts";

/** Toxiproxy, through which the tests of network faults reach the other servers. */
export const toxiproxy: Engine = {
  name: "toxiproxy",
  pin: VERSIONS.toxiproxy,
  ports: { main: 28_474 },
  needs: ["go"],
  variable: "CUSTODY_TEST_TOXIPROXY_URL",
  isProven: true,
  install: async (directory, version) =>
    await installGoProgram(directory, {
      package: `github.com/Shopify/toxiproxy/v2/cmd/server@${version}`,
      binary: "toxiproxy-server",
    }),
  launch: async ({ dist, ports }) => ({
    program: join(dist, "bin", "toxiproxy-server"),
    args: ["-host", "127.0.0.1", "-port", String(ports["main"])],
    probe: async () => {
      await askHttp(`http://127.0.0.1:${ports["main"]}/version`);
      return VERSIONS.toxiproxy.version.slice(1);
    },
  }),
  variables: ({ ports }) => ({
    CUSTODY_TEST_TOXIPROXY_URL: `http://127.0.0.1:${ports["main"]}`,
  }),
};
