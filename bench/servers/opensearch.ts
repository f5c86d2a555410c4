import { Client } from "@opensearch-project/opensearch";

import { searchRows } from "../baseline/search.ts";
import type { SearchRows } from "../baseline/search.ts";
import type { RawStore } from "../baseline/raw-store.ts";
import { installationOf, serverAddress } from "./raw-server.ts";

export { searchRows };

/** The index that the raw client writes to and reads from. */
export function rawIndex(url: string): { readonly client: Client; readonly index: string } {
  const node = serverAddress(url, "http");
  return { client: new Client({ node }), index: `${installationOf(url)}.bench` };
}

/** Texts and values to narrow by, through the bulk interface; all is seen at the end. */
export async function openRawOpensearch(url: string): Promise<RawStore<SearchRows>> {
  const { client, index } = rawIndex(url);
  const keyword = { type: "keyword" } as const;
  await client.indices.create({
    index,
    body: {
      settings: { number_of_shards: 1, number_of_replicas: 0, refresh_interval: "-1" },
      mappings: {
        properties: {
          prompt: { type: "text" },
          response: { type: "text" },
          model: keyword,
          probe: keyword,
          session_id: keyword,
          vulnerability_ids: keyword,
        },
      },
    },
  });
  return {
    async write(rows) {
      const answer = await client.transport.request({
        method: "POST",
        path: `/${index}/_bulk`,
        // Lines as text: the library would write each as JSON on its own.
        bulkBody: bulkText(rows),
      });
      // The server's answer to a bulk request.
      const body = answer.body as { readonly errors: boolean };
      if (body.errors) throw new Error("OpenSearch refused rows");
    },
    async close() {
      await client.indices.refresh({ index });
      await client.close();
    },
  };
}

function bulkText(rows: SearchRows): string {
  const { ids, prompts, responses, models, probes, sessions, vulnerabilities } = rows;
  const lines = ids.map((id, n) => {
    const values = {
      prompt: prompts[n],
      response: responses[n],
      model: models[n],
      probe: probes[n],
      session_id: sessions[n],
    };
    // The list is JSON text already.
    const document = `${JSON.stringify(values).slice(0, -1)},"vulnerability_ids":${vulnerabilities[n] ?? "[]"}}`;
    return `{"create":{"_id":${JSON.stringify(id)}}}\n${document}\n`;
  });
  return lines.join("");
}
