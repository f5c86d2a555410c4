import { StoreError } from "../errors.ts";
import { parseServerUrl } from "./server-settings.ts";
import type { ServerSettings, ServerUrlRules } from "./server-settings.ts";

/** What the URL of a Redis server says. */
export interface RedisSettings extends ServerSettings {
  /** Number of the database on the server. */
  readonly database: number;
  /** What every key of this installation begins with. */
  readonly prefix: string;
  /** True when the hosts are nodes of a Redis Cluster. */
  readonly isCluster: boolean;
  /** Name of the primary that the hosts, being sentinels, watch. */
  readonly sentinel?: string;
}

const RULES: ServerUrlRules = {
  product: "Redis",
  schemes: { redis: "clear", rediss: "tls" },
  defaultPort: 6_379,
  options: ["prefix", "cluster", "sentinel"],
};

/** Reads the URL of a Redis server. @throws StoreError `refused` naming what is wrong. */
export function readRedisSettings(url: string): RedisSettings {
  const server = parseServerUrl(url, RULES);
  const { prefix = "custody", cluster = "false", sentinel } = server.options;
  if (!/^\d{0,5}$/.test(server.path)) throw wrong("its path is the number of a database");
  // Braces would decide on which node of a cluster a key lies; `*` and `?` would match other keys.
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(prefix)) {
    throw wrong("prefix is 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  if (cluster !== "true" && cluster !== "false") throw wrong("cluster is true or false");
  if (cluster === "true" && sentinel !== undefined) throw wrong("cluster has no sentinel");
  if (server.hosts.length > 1 && cluster === "false" && sentinel === undefined) {
    throw wrong("several hosts need cluster=true or sentinel=<name of the primary>");
  }
  const database = Number(server.path);
  if (cluster === "true" && database !== 0) throw wrong("a cluster has database 0 alone");
  const isCluster = cluster === "true";
  return {
    ...server,
    database,
    prefix,
    isCluster,
    ...(sentinel === undefined ? {} : { sentinel }),
  };
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of Redis cannot be used: ${what}`);
}
