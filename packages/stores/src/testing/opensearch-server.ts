import { openOpensearchCluster } from "../drivers/opensearch.ts";
import type { OpensearchRequest } from "../drivers/opensearch.ts";
import { serverName } from "./engine-server.ts";
import { scopeFor } from "./scope.ts";

/** A cluster behind a store's back, for tests. */
export interface RawOpensearch {
  /** The store's URL for a home; what was kept under it is dropped by {@link drop}. */
  urlOf(home: string): string;
  /** Sends a request of the server's own interface. */
  send(request: Omit<OpensearchRequest, "doing">): Promise<unknown>;
  /** Drops the indices of every home. */
  drop(): Promise<void>;
}

/** Reaches the server at a URL past the store. */
export function rawOpensearch(url: string): RawOpensearch {
  const prefixes = new Set<string>();
  const send: RawOpensearch["send"] = async (request) => {
    await using cluster = await openOpensearchCluster(url);
    const scope = scopeFor("tenant-a");
    return (await cluster.send(scope, { doing: "look behind the store", ...request })).body;
  };
  return {
    urlOf(home) {
      prefixes.add(serverName(home));
      return withPrefix(url, serverName(home));
    },
    send,
    async drop() {
      for (const prefix of prefixes) await send({ method: "DELETE", path: [`${prefix}.*`] });
      prefixes.clear();
    },
  };
}

/** A server's URL with a prefix for its indices. */
export function withPrefix(url: string, prefix: string): string {
  return url.replace(/^([^?]*?)\/?(\?.*)?$/, `$1/${prefix}$2`);
}
