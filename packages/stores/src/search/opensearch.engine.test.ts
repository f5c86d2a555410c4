import { afterAll, describe } from "vitest";

import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { rawOpensearch, withPrefix } from "../testing/opensearch-server.ts";
import { describeSearch } from "./conformance.ts";
import { openOpensearchSearch } from "./opensearch.ts";

describe.each(["opensearch", "elasticsearch"] as const)("search by %s", (server) => {
  describeOnServer(server, (url) => {
    const raw = rawOpensearch(url);
    afterAll(async () => await raw.drop());

    describeSearch("opensearch", {
      open: async (home, options) =>
        await openOpensearchSearch({ url: raw.urlOf(home), ...options }),
      child: {
        module: new URL("./opensearch.ts", import.meta.url).href,
        open: `engine.openOpensearchSearch({ url: ${JSON.stringify(withPrefix(url, "HOME"))}.replace(
          "HOME",
          "t" + process.getBuiltinModule("crypto").createHash("sha256").update(home).digest("hex").slice(0, 12),
        ) })`,
      },
      faults: {
        tamper: async (home, how, id) => {
          const path = [`${serverName(home)}.tenant-a.redteam__finding.g1.rows`];
          const query = { refresh: true };
          if (how === "lose") {
            await raw.send({ method: "DELETE", path: [...path, "_doc", id], query });
          } else if (how === "alter") {
            const body = { doc: { t2: "altered words" } };
            await raw.send({ method: "POST", path: [...path, "_update", id], query, body });
          } else {
            const body = { id, s: 1, b: 5, t2: "words", c: "[[],[],[],[],[]]" };
            await raw.send({ method: "PUT", path: [...path, "_doc", id], query, body });
          }
        },
        whileReadOnly: async (home, work) => {
          const path = [`${serverName(home)}.tenant-a.*`, "_settings"];
          await raw.send({ method: "PUT", path, body: { "index.blocks.write": true } });
          await work();
          await raw.send({ method: "PUT", path, body: { "index.blocks.write": null } });
        },
      },
    });
  });
});
