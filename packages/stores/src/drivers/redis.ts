import { createHash } from "node:crypto";

import type * as IORedis from "ioredis";
import type { Redis, RedisOptions } from "ioredis";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds, withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { mapRedisError, redisErrorWord } from "./redis-errors.ts";
import { readRedisSettings } from "./redis-settings.ts";
import type { RedisSettings } from "./redis-settings.ts";

/** The commands of one server, or of a cluster as if it were one. */
export type RedisClient = Redis;

type RedisLibrary = Pick<typeof IORedis, "Redis" | "Cluster">;

/** One call, for its message and its time limit. */
export interface RedisCall {
  readonly scope: Scope;
  readonly doing: string;
}

/** A Lua script that runs on the server as one step. */
export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

/** RedisConnection: one connection that calls share, and another for what is published. */
export interface RedisConnection extends AsyncDisposable {
  readonly settings: RedisSettings;
  /** Sends what `work` asks, within the time limit. @throws StoreError as `mapRedisError` says. */
  call<Result>(of: RedisCall, work: (client: RedisClient) => Promise<Result>): Promise<Result>;
  /** Runs a script; numbers come back as numbers, texts as bytes. */
  run(
    client: RedisClient,
    script: RedisScript,
    keys: readonly string[],
    args: readonly (string | number | Uint8Array)[],
  ): Promise<unknown>;
  /** Every server that holds keys of its own: the one, or the primaries of a cluster. */
  primaries(client: RedisClient): readonly RedisClient[];
  /** A connection that only listens; made at its first use. */
  subscriber(): RedisClient;
  /** What the server says of itself, by section of INFO. */
  info(of: RedisCall, section: string): Promise<ReadonlyMap<string, string>>;
  health(): Promise<EngineHealth>;
}

// ACLs, UNLINK, and scripts that may ask for the time before they write (redis.io release notes of 6.2).
const VERSION_MIN = [6, 2] as const;
/** Calls that wait for an answer at most; beyond it the server is not keeping up. */
const CALLS_MAX = 10_000;
const RECONNECT_MS_MAX = 1_000;

/** Makes a connection to the server that the URL names; nothing is sent before the first call. */
export async function openRedisConnection(url: string): Promise<RedisConnection> {
  const settings = readRedisSettings(url);
  const library = await loadClientLibrary(() => import("ioredis"), {
    product: "Redis",
    install: "ioredis@6",
  });
  return new Connection(library, settings);
}

/** Prepares a script, so that it is sent by its hash alone. */
export function redisScript(lua: string): RedisScript {
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

class Connection implements RedisConnection {
  readonly settings: RedisSettings;
  readonly #library: RedisLibrary;
  readonly #client: RedisClient;
  #subscriber: RedisClient | undefined;
  #checking: Promise<unknown> | undefined;
  #isFine = false;
  #calls = 0;

  constructor(library: RedisLibrary, settings: RedisSettings) {
    this.settings = settings;
    this.#library = library;
    this.#client = connect(library, settings);
  }

  call<Result>(of: RedisCall, work: (client: RedisClient) => Promise<Result>): Promise<Result> {
    if (this.#isFine) return this.#send(of, work);
    return this.#checkOnce(of).then(() => this.#send(of, work));
  }

  async run(...[client, script, keys, args]: Parameters<RedisConnection["run"]>): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args.map(bytesOf)];
    try {
      return await client.callBuffer("evalsha", script.sha, ...rest);
    } catch (cause) {
      if (redisErrorWord(cause) !== "NOSCRIPT") throw cause;
      return await client.callBuffer("eval", script.lua, ...rest);
    }
  }

  primaries(client: RedisClient): readonly RedisClient[] {
    if (!("nodes" in client)) return [client];
    const cluster = client as unknown as { nodes(role: string): readonly RedisClient[] };
    return cluster.nodes("master");
  }

  subscriber(): RedisClient {
    this.#subscriber ??= connect(this.#library, this.settings);
    return this.#subscriber;
  }

  async info(of: RedisCall, section: string): Promise<ReadonlyMap<string, string>> {
    const text = await this.#send(of, (client) => client.info(section));
    const lines = text.split("\r\n").map((line) => line.split(/:(.*)/s, 2));
    return new Map(lines.map(([name = "", value = ""]) => [name, value]));
  }

  async health(): Promise<EngineHealth> {
    const scope = { tenant: "health", actor: "health", deadline: Number.POSITIVE_INFINITY };
    const startedAt = performance.now();
    const { product, version } = await this.#versionOf({ scope, doing: "tell its version" });
    return { product, version, tookMs: performance.now() - startedAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.disconnect();
    this.#subscriber?.disconnect();
    await Promise.resolve();
  }

  /** At the first call; a failure is forgotten, so that the next call asks again. */
  async #checkOnce({ scope }: RedisCall): Promise<void> {
    this.#checking ??= this.#versionOf({ scope, doing: "tell its version" }).finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
    this.#isFine = true;
  }

  async #versionOf(of: RedisCall): Promise<{ readonly product: string; readonly version: string }> {
    const server = await this.info(of, "server");
    checkRedisVersion(server.get("redis_version") ?? "");
    const valkey = server.get("valkey_version");
    if (valkey !== undefined) return { product: "Valkey", version: valkey };
    return { product: "Redis", version: server.get("redis_version") ?? "" };
  }

  async #send<Result>(
    { scope, doing }: RedisCall,
    work: (client: RedisClient) => Promise<Result>,
  ): Promise<Result> {
    const ms = callMilliseconds(scope, this.settings.timeoutMs, Date.now());
    if (this.#calls >= CALLS_MAX) {
      throw new StoreError("unavailable", `Redis has not answered ${CALLS_MAX} calls yet`);
    }
    this.#calls += 1;
    try {
      // The library limits each command by the URL's time limit, so that only a nearer deadline needs a
      // timer of ours; but not what waits for a cluster to be found.
      const isLimited = ms === this.settings.timeoutMs && !this.settings.isCluster;
      if (isLimited) return await work(this.#client);
      return await withinMilliseconds(ms, `Redis, asked to ${doing},`, () => work(this.#client));
    } catch (cause) {
      throw mapRedisError(doing, cause);
    } finally {
      this.#calls -= 1;
    }
  }
}

/** @throws StoreError `unsupported` for a server that is too old, saying what is needed. */
export function checkRedisVersion(version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [majorMin, minorMin] = VERSION_MIN;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return;
  throw new StoreError(
    "unsupported",
    `Redis ${version === "" ? "of an unknown version" : version} is too old: ${majorMin}.${minorMin} or later is needed`,
  );
}

function connect(library: RedisLibrary, settings: RedisSettings): RedisClient {
  const client = settings.isCluster
    ? connectCluster(library, settings)
    : new library.Redis(clientOptions(settings));
  // Each call is told of its own failure; without a listener the library writes to the console.
  client.on("error", () => undefined);
  return client;
}

function connectCluster({ Cluster }: RedisLibrary, settings: RedisSettings): RedisClient {
  const { host: _, port: __, db: ___, ...redisOptions } = clientOptions(settings);
  const cluster = new Cluster([...settings.hosts], {
    lazyConnect: true,
    redisOptions,
    slotsRefreshTimeout: settings.connectMs,
    clusterRetryStrategy: reconnectMs,
  });
  // It takes the same commands; only what concerns single nodes differs.
  return cluster as unknown as RedisClient;
}

function clientOptions(settings: RedisSettings): Omit<RedisOptions, "replyMapping"> {
  const { user, password, tls, timeoutMs, connectMs, hosts, sentinel } = settings;
  const [first] = hosts;
  const certificates = tls && {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls.isVerified,
  };
  return {
    ...(sentinel === undefined
      ? { host: first?.host ?? "", port: first?.port ?? 0 }
      : { sentinels: [...hosts], name: sentinel, enableTLSForSentinelMode: tls !== undefined }),
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(certificates === undefined ? {} : { tls: certificates }),
    db: settings.database,
    connectionName: `custody:${settings.prefix}`,
    lazyConnect: true,
    connectTimeout: connectMs,
    commandTimeout: timeoutMs,
    // A connection that swallows what is sent is given up, so that the next call has a new one.
    socketTimeout: timeoutMs,
    // What was sent may have been done, so that it is the caller who decides whether to send it again.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: reconnectMs,
  };
}

function reconnectMs(attempt: number): number {
  return Math.min(attempt * 50, RECONNECT_MS_MAX);
}

function bytesOf(value: string | number | Uint8Array): string | number | Buffer {
  if (!(value instanceof Uint8Array)) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
