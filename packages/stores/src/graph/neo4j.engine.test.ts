import { randomUUID } from "node:crypto";

import { afterAll } from "vitest";

import { serverName, describeOnServer } from "../testing/engine-server.ts";
import { collection } from "./conformance-fixture.ts";
import { describeGraph } from "./conformance.ts";
import { neo4jPlace } from "./neo4j-place.ts";
import { openNeo4jGraph } from "./neo4j.ts";
import type { GraphStore } from "./port.ts";
import { RawNeo4j } from "../testing/raw-neo4j.ts";

const module = new URL("./neo4j.ts", import.meta.url).href;

describeOnServer("neo4j", (server) => {
  // One installation for all tests of this file: with a new one for each, the server would plan every
  // statement of every test anew, which takes longer than running it.
  const installation = serverName(randomUUID());
  const url = `${server}/${installation}`;
  const raw = new RawNeo4j(server);
  afterAll(async () => {
    await raw.drop(installation);
    await raw[Symbol.asyncDispose]();
  });

  describeGraph("neo4j", async () => {
    const open: GraphStore[] = [await openNeo4jGraph({ url })];
    return {
      store: open[0] as GraphStore,
      async reopen() {
        for (const store of open.splice(0)) await store[Symbol.asyncDispose]();
        const store = await openNeo4jGraph({ url });
        open.push(store);
        return store;
      },
      childStore: `(await import("${module}")).openNeo4jGraph(${JSON.stringify({ url })})`,
      async alter(statement) {
        const { label } = neo4jPlace({ installation, space: "tenant-a" }, collection);
        await raw.run(statement.replaceAll(/:(Host|Service)\b/g, `:${label}:$1`));
      },
      async [Symbol.asyncDispose]() {
        for (const store of open.splice(0)) await store[Symbol.asyncDispose]();
        await raw.empty(installation);
      },
    };
  });
});
