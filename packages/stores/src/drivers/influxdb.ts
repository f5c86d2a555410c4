import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Duplex } from "node:stream";

import type { InfluxDB } from "@influxdata/influxdb-client";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { InfluxdbV1 } from "./influxdb-v1.ts";
import { InfluxdbV2 } from "./influxdb-v2.ts";
import { FluxCsv } from "./influxdb-rows.ts";
import type { FluxRow } from "./influxdb-rows.ts";
import { mapInfluxdbError } from "./influxdb-errors.ts";
import { firstHost, parseServerUrl } from "./server-settings.ts";
import type { ServerSettings } from "./server-settings.ts";

/** What is used of the client library. */
interface ClientLibrary {
  readonly InfluxDB: typeof InfluxDB;
}

/** Points of one series that are to be deleted: both instants are in. */
export interface InfluxdbRange {
  readonly measurement: string;
  /** Every tag that points of this measurement have. */
  readonly tags: readonly (readonly [string, string])[];
  /** Nanoseconds of the epoch. */
  readonly from: bigint;
  readonly to: bigint;
}

/** What versions of the server do in ways of their own: buckets, and taking points away. */
export interface InfluxdbDialect {
  /** The name under which Flux and the write interface know a bucket. */
  bucketName(bucket: string): string;
  listBuckets(scope: Scope): Promise<readonly string[]>;
  /** Makes a bucket without an end of life; one that exists is no error. */
  makeBucket(scope: Scope, bucket: string): Promise<void>;
  /** Drops a bucket; what does not exist is no error. */
  dropBucket(scope: Scope, bucket: string): Promise<void>;
  deleteRanges(scope: Scope, bucket: string, ranges: readonly InfluxdbRange[]): Promise<void>;
  /** Bytes on disk by bucket; empty where the server does not say. */
  bucketBytes(scope: Scope): Promise<ReadonlyMap<string, number>>;
}

/** A request as the versions' dialects send it. */
export interface InfluxdbRequest {
  readonly doing: string;
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const URL_RULES = {
  product: "InfluxDB",
  schemes: { influxdb: "clear", influxdbs: "tls" },
  defaultPort: 8086,
  options: ["org"],
} as const;

// It begins the names of databases, so it keeps to what both versions take.
const PREFIX = /^[a-z0-9][a-z0-9_-]{0,39}$/i;

/** A server of InfluxDB, 1.8 or 2.x: what both have in common, each call within its time. */
export class Influxdb implements AsyncDisposable {
  readonly settings: ServerSettings;
  /** The beginning of every bucket's name. */
  readonly prefix: string;
  readonly #client: InfluxDB;
  readonly #agent: HttpAgent;
  readonly #clock: () => number;
  #dialect: Promise<InfluxdbDialect> | undefined;

  constructor(library: ClientLibrary, settings: ServerSettings, clock: () => number) {
    this.settings = settings;
    this.prefix = settings.path === "" ? "custody" : settings.path;
    if (!PREFIX.test(this.prefix)) {
      throw new StoreError(
        "refused",
        "the URL of InfluxDB cannot be used: its path is 1 to 40 of a-z, 0-9, _ and -",
      );
    }
    this.#clock = clock;
    this.#agent = agentOf(settings);
    const { host, port } = firstHost(settings);
    const { user, password = "", tls } = settings;
    this.#client = new library.InfluxDB({
      url: `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`,
      token: user === undefined ? password : `${user}:${password}`,
      // The signal of each call ends it; this is for a socket that would be silent for longer.
      timeout: settings.timeoutMs + 1_000,
      transportOptions: { agent: this.#agent },
    });
  }

  /** Rows of a Flux script's answer, as many at a time as come together. */
  async *rows(scope: Scope, doing: string, flux: string): AsyncGenerator<readonly FluxRow[]> {
    const { org = "" } = this.settings.options;
    const csv = new FluxCsv();
    try {
      const chunks = this.#client.transport.iterate(
        `/api/v2/query?org=${encodeURIComponent(org)}`,
        JSON.stringify({
          query: flux,
          type: "flux",
          dialect: { header: true, annotations: ["datatype", "group", "default"] },
        }),
        {
          method: "POST",
          headers: { "content-type": "application/json", accept: "application/csv" },
          signal: this.#signal(scope),
        },
      );
      for await (const chunk of chunks) yield whole(doing, csv.read(chunk));
      yield whole(doing, csv.end());
    } catch (cause) {
      throw mapInfluxdbError(doing, cause);
    }
  }

  /** Writes lines of the line protocol with instants in nanoseconds; durable when it answers. */
  async write(scope: Scope, bucket: string, lines: string): Promise<void> {
    const { org = "" } = this.settings.options;
    const name = (await this.dialect(scope)).bucketName(bucket);
    const to = `org=${encodeURIComponent(org)}&bucket=${encodeURIComponent(name)}`;
    await this.request(scope, {
      doing: "write points",
      method: "POST",
      path: `/api/v2/write?${to}&precision=ns`,
      body: lines,
      headers: { "content-type": "text/plain; charset=utf-8" },
    });
  }

  /** Sends a request and answers its parsed body. */
  async request(scope: Scope, request: InfluxdbRequest): Promise<unknown> {
    const { doing, method, path, body = "", headers = {} } = request;
    try {
      return (await this.#client.transport.request(path, body, {
        method,
        headers: { ...headers },
        signal: this.#signal(scope),
      })) as unknown;
    } catch (cause) {
      throw mapInfluxdbError(doing, cause);
    }
  }

  /** How this server's version wants it; asked for once. @throws StoreError `unsupported`, `refused`. */
  async dialect(scope: Scope): Promise<InfluxdbDialect> {
    const found = (this.#dialect ??= this.#findDialect(scope));
    try {
      return await found;
    } catch (cause) {
      if (this.#dialect === found) this.#dialect = undefined;
      throw cause;
    }
  }

  async health(): Promise<EngineHealth> {
    const startedAt = performance.now();
    const scope = {
      tenant: "_system",
      actor: "service:health",
      deadline: Number.POSITIVE_INFINITY,
    };
    const version = await this.#version(scope);
    checkInfluxdbVersion(version);
    return { product: "InfluxDB", version, tookMs: performance.now() - startedAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await Promise.resolve();
  }

  async #findDialect(scope: Scope): Promise<InfluxdbDialect> {
    const version = await this.#version(scope);
    checkInfluxdbVersion(version);
    // Builds without a number exist: what a server serves tells more than what it is called.
    const isV2 = await this.#serves(scope, "/api/v2/buckets?limit=1");
    const { org } = this.settings.options;
    if (!isV2) return new InfluxdbV1(this);
    if (org !== undefined) return new InfluxdbV2(this, org);
    throw new StoreError(
      "refused",
      "the URL of InfluxDB 2 names its organisation: influxdb://…?org=NAME",
    );
  }

  async #version(scope: Scope): Promise<string> {
    let version = "";
    try {
      await this.#client.transport.request(
        "/ping",
        "",
        { method: "GET", signal: this.#signal(scope) },
        (headers) => {
          version = String(headers["x-influxdb-version"] ?? "");
        },
      );
    } catch (cause) {
      throw mapInfluxdbError("answer", cause);
    }
    return version === "" ? "unknown" : version.replace(/^v/, "");
  }

  async #serves(scope: Scope, path: string): Promise<boolean> {
    let status = 0;
    try {
      await this.#client.transport.request(path, "", {
        method: "GET",
        signal: this.#signal(scope),
      });
      return true;
    } catch (cause) {
      if (cause instanceof Error && "statusCode" in cause) status = Number(cause.statusCode);
      if (status === 404) return false;
      throw mapInfluxdbError("say what it serves", cause);
    }
  }

  #signal(scope: Scope): AbortSignal {
    return AbortSignal.timeout(callMilliseconds(scope, this.settings.timeoutMs, this.#clock()));
  }
}

/**
 * Makes ready to use a server of InfluxDB; connects at the first call.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the client library is missing.
 */
export async function openInfluxdb(url: string, clock: () => number): Promise<Influxdb> {
  const settings = parseServerUrl(url, URL_RULES);
  const library = await loadClientLibrary(() => import("@influxdata/influxdb-client"), {
    product: "InfluxDB",
    install: "@influxdata/influxdb-client@1",
  });
  return new Influxdb(library, settings, clock);
}

/** @throws StoreError `unsupported` for a version without Flux. A build without a number passes. */
export function checkInfluxdbVersion(version: string): void {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return;
  if (Number(major) < 1 || (Number(major) === 1 && Number(minor) < 8)) {
    throw new StoreError(
      "unsupported",
      `InfluxDB ${version} is too old: Custody needs 1.8 with flux-enabled, or 2.x`,
    );
  }
  if (Number(major) <= 2) return;
  throw new StoreError(
    "unsupported",
    `InfluxDB ${version} has no Flux: Custody needs 1.8 with flux-enabled, or 2.x`,
  );
}

/** An error that came up after the answer had begun is a table of its own in it. */
function whole(doing: string, rows: readonly FluxRow[]): readonly FluxRow[] {
  const last = rows.at(-1);
  if (last === undefined || last.columns.index("error") < 0 || last.columns.index("table") >= 0) {
    return rows;
  }
  throw new StoreError("unavailable", `InfluxDB could not ${doing}: it broke off its answer`);
}

function agentOf({ tls, poolMax, connectMs }: ServerSettings): HttpAgent {
  const options = { keepAlive: true, maxSockets: poolMax, maxFreeSockets: poolMax };
  if (tls === undefined) return boundConnecting(new HttpAgent(options), "connect", connectMs);
  const { ca, cert, key, isVerified } = tls;
  const agent = new HttpsAgent({
    ...options,
    rejectUnauthorized: isVerified,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  return boundConnecting(agent, "secureConnect", connectMs);
}

/** Gives up on a connection that is not made within `ms`. */
function boundConnecting(agent: HttpAgent, event: string, ms: number): HttpAgent {
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback): Duplex | null | undefined => {
    const socket = create(options, callback);
    if (socket === null || socket === undefined) return socket;
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${ms} ms`));
    }, ms);
    const clear = (): void => clearTimeout(timer);
    socket.once(event, clear);
    socket.once("close", clear);
    return socket;
  };
  return agent;
}
