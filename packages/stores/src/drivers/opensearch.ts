import { Agent } from "node:http";
import type { Agent as HttpAgent, ClientRequestArgs } from "node:http";
import { Agent as TlsAgent } from "node:https";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";

import type { Client } from "@opensearch-project/opensearch";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import { callMilliseconds, withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { isBlocked, isOverload, mapFault, memberOf, readFault } from "./opensearch-errors.ts";
import type { OpensearchFault } from "./opensearch-errors.ts";
import { readOpensearchSettings } from "./opensearch-settings.ts";
import type { OpensearchSettings } from "./opensearch-settings.ts";
import { describeServer } from "./server-settings.ts";

/** One request to the cluster. */
export interface OpensearchRequest {
  /** What it does, for errors: `search redteam/finding`. */
  readonly doing: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Parts of the path, each escaped here. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  /** JSON, or lines of JSON as text. */
  readonly body?: object | string;
  /** Statuses beside 2xx that are answered rather than thrown. */
  readonly accepts?: readonly number[];
}

export interface OpensearchAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A cluster, reached through a pool of connections. */
export interface OpensearchCluster extends ServerEngine, AsyncDisposable {
  readonly settings: OpensearchSettings;

  /**
   * Sends a request, within the time of the URL and the scope. A server that has too much to do is
   * asked again until the time is over.
   *
   * @throws StoreError `unavailable`, `full`, `read-only`, `refused`, `limit`, `corrupt`, `unsupported`
   *   (a server that is too old).
   */
  send(scope: Scope, request: OpensearchRequest): Promise<OpensearchAnswer>;

  /** The error of a fault; for a write that is blocked it asks why. */
  failure(
    scope: Scope,
    of: { readonly doing: string; readonly index?: string; readonly fault: OpensearchFault },
  ): Promise<StoreError>;
}

const PAUSE_FIRST_MS = 25;
const PAUSE_LAST_MS = 1_000;
const HEALTH_SCOPE: Scope = { tenant: "_system", actor: "health", deadline: Infinity };

/** Makes a client of the cluster that the URL names; nothing is sent before the first call. */
export async function openOpensearchCluster(url: string): Promise<OpensearchCluster> {
  const settings = readOpensearchSettings(url);
  const library = await loadClientLibrary(() => import("@opensearch-project/opensearch"), {
    product: "OpenSearch",
    install: "@opensearch-project/opensearch@3",
  });
  return new Cluster(settings, new library.Client(clientOptions(settings)));
}

type ClientOptions = NonNullable<ConstructorParameters<typeof Client>[0]>;

function clientOptions({ server, authorization }: OpensearchSettings): ClientOptions {
  const { hosts, tls, user, password = "" } = server;
  const scheme = tls === undefined ? "http" : "https";
  const names = hosts.map(({ host, port }) => ({
    name: host.includes(":") ? `[${host}]` : host,
    port,
  }));
  return {
    nodes: names.map(({ name, port }) => `${scheme}://${name}:${port}`),
    agent: () => agentOf(server),
    // A connection that was closed while idle is noticed only when it is used again.
    maxRetries: hosts.length,
    resurrectStrategy: "optimistic",
    // What is parsed never becomes a prototype: members are read by name.
    disablePrototypePoisoningProtection: true,
    ...(authorization === undefined ? {} : { headers: { authorization } }),
    ...(user === undefined ? {} : { auth: { username: user, password } }),
  };
}

/** Keeps connections, and gives up opening one after the URL's `connect-timeout`. */
function agentOf({ tls, poolMax, connectMs }: OpensearchSettings["server"]): HttpAgent {
  const options = { keepAlive: true, maxSockets: poolMax, maxFreeSockets: poolMax };
  const agent =
    tls === undefined
      ? new Agent(options)
      : new TlsAgent({
          ...options,
          rejectUnauthorized: tls.isVerified,
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.cert === undefined ? {} : { cert: tls.cert }),
          ...(tls.key === undefined ? {} : { key: tls.key }),
        });
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (to: ClientRequestArgs, done) => {
    const socket = connect(to, done);
    if (socket) limitConnecting(socket, tls === undefined ? "connect" : "secureConnect", connectMs);
    return socket;
  };
  return agent;
}

function limitConnecting(socket: Duplex, opened: string, connectMs: number): void {
  const timer = setTimeout(() => {
    socket.destroy(new Error(`no connection within ${connectMs} ms`));
  }, connectMs);
  const stop = (): void => clearTimeout(timer);
  socket.once(opened, stop).once("close", stop);
}

class Cluster implements OpensearchCluster {
  readonly settings: OpensearchSettings;
  readonly #client: Client;
  #checked: Promise<unknown> | undefined;

  constructor(settings: OpensearchSettings, client: Client) {
    this.settings = settings;
    this.#client = client;
  }

  async send(scope: Scope, request: OpensearchRequest): Promise<OpensearchAnswer> {
    await this.#requireVersion(scope);
    return await this.#sendPatiently(scope, request);
  }

  async health(): Promise<EngineHealth> {
    const startedAt = performance.now();
    const { body } = await this.#sendPatiently(HEALTH_SCOPE, GREETING);
    const { product, version } = readVersion(body);
    return { product, version, tookMs: Math.round(performance.now() - startedAt) };
  }

  async failure(
    scope: Scope,
    { doing, index, fault }: Parameters<OpensearchCluster["failure"]>[1],
  ): Promise<StoreError> {
    if (index === undefined || !isBlocked(fault)) return mapFault(doing, fault);
    return await this.#blockedBy(scope, doing, index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }

  /** Asks for the version once; a failure is asked about again by the next call. */
  async #requireVersion(scope: Scope): Promise<void> {
    this.#checked ??= this.#sendPatiently(scope, GREETING)
      .then(({ body }) => readVersion(body))
      .catch((cause: unknown) => {
        this.#checked = undefined;
        throw cause;
      });
    await this.#checked;
  }

  async #sendPatiently(scope: Scope, request: OpensearchRequest): Promise<OpensearchAnswer> {
    const { timeoutMs } = this.settings.server;
    const until = Date.now() + callMilliseconds(scope, timeoutMs, Date.now());
    for (let wait = PAUSE_FIRST_MS; ; wait = Math.min(wait * 2, PAUSE_LAST_MS)) {
      const answer = await this.#sendOnce(request, Math.max(1, until - Date.now()));
      if (answer.status < 300 || request.accepts?.includes(answer.status) === true) return answer;
      const fault = readFault(answer.status, memberOf(answer.body, "error"));
      if (!isOverload(fault) || Date.now() + wait >= until) {
        const [index = ""] = request.path;
        throw await this.failure(scope, { doing: request.doing, index, fault });
      }
      await pause(wait);
    }
  }

  async #sendOnce(request: OpensearchRequest, ms: number): Promise<OpensearchAnswer> {
    const { doing, method, path, query = {}, body } = request;
    const content = body === undefined ? {} : contentOf(body);
    return await withinMilliseconds(ms, describeServer(this.settings.server), async (signal) => {
      const sent = this.#client.transport.request(
        {
          method,
          path: `/${path.map(encodeURIComponent).join("/")}`,
          querystring: { ...query },
          ...content,
        },
        { requestTimeout: ms },
      );
      // An event's listener must not answer the promise: what it rejects with would be thrown.
      signal.addEventListener("abort", () => {
        sent.abort();
      });
      try {
        const answer: unknown = await sent;
        return { status: Number(memberOf(answer, "statusCode")), body: memberOf(answer, "body") };
      } catch (cause) {
        return this.#answerIn(doing, cause);
      }
    });
  }

  /** The library throws what the server answers with a status from 400. */
  #answerIn(doing: string, cause: unknown): OpensearchAnswer {
    const meta = memberOf(cause, "meta");
    const status = memberOf(meta, "statusCode");
    if (cause instanceof Error && cause.name === "ResponseError" && typeof status === "number") {
      return { status, body: memberOf(meta, "body") };
    }
    const reason = cause instanceof Error ? cause.message : "unknown";
    const server = describeServer(this.settings.server);
    throw new StoreError("unavailable", `${server} could not ${doing}: ${reason}`, { cause });
  }

  /** Which block an index has: only its settings name it without ambiguity. */
  async #blockedBy(scope: Scope, doing: string, index: string): Promise<StoreError> {
    const { body } = await this.#sendPatiently(scope, {
      doing: "read why writing is blocked",
      method: "GET",
      path: [index, "_settings"],
      query: { flat_settings: true },
      accepts: [403, 404, 429, 503],
    });
    const names = new Set<string>();
    for (const one of Object.values(typeof body === "object" && body !== null ? body : {})) {
      const settings: unknown = memberOf(one, "settings");
      for (const name of BLOCKS) if (memberOf(settings, name) === "true") names.add(name);
    }
    if (names.has(BLOCK_OF_FULL_DISK)) {
      return new StoreError(
        "full",
        `the search server could not ${doing}: its disk is nearly full`,
      );
    }
    return names.size > 0
      ? new StoreError("read-only", `the search server could not ${doing}: the index is read-only`)
      : new StoreError(
          "unavailable",
          `the search server could not ${doing}: the cluster is blocked`,
        );
  }
}

// docs.opensearch.org/docs/latest/api-reference/index-apis/blocks; set by the flood-stage watermark.
const BLOCK_OF_FULL_DISK = "index.blocks.read_only_allow_delete";
const BLOCKS = [BLOCK_OF_FULL_DISK, "index.blocks.write", "index.blocks.read_only"];

const GREETING: OpensearchRequest = { doing: "tell its version", method: "GET", path: [""] };

function contentOf(body: object | string): { body: object } | { bulkBody: string } {
  return typeof body === "string" ? { bulkBody: body } : { body };
}

/** The oldest major and minor versions whose interface has all that is used. */
const VERSIONS = { OpenSearch: [2, 0], Elasticsearch: [7, 10] } as const;

/**
 * Reads what a server says of itself.
 *
 * @throws StoreError `unsupported` when it is too old, `unavailable` when it is something else.
 */
export function readVersion(greeting: unknown): {
  readonly product: "OpenSearch" | "Elasticsearch";
  readonly version: string;
} {
  const said = memberOf(greeting, "version");
  const version = memberOf(said, "number");
  const match = typeof version === "string" ? /^(\d+)\.(\d+)/.exec(version) : null;
  if (typeof version !== "string" || match === null) {
    throw new StoreError("unavailable", "what answers is neither OpenSearch nor Elasticsearch");
  }
  const product = memberOf(said, "distribution") === "opensearch" ? "OpenSearch" : "Elasticsearch";
  const [major, minor] = VERSIONS[product];
  const [haveMajor, haveMinor] = [Number(match[1]), Number(match[2])];
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return { product, version };
  throw new StoreError(
    "unsupported",
    `${product} ${version} is too old for search: ${major}.${minor} or newer is needed`,
  );
}
