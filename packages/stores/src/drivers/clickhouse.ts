import { readFileSync } from "node:fs";
import { Agent as ClearAgent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { Socket } from "node:net";
import { Readable } from "node:stream";

import type { ClickHouseClient, ClickHouseSettings, createClient } from "@clickhouse/client";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds, withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { mapClickhouseError } from "./clickhouse-errors.ts";
import { describeServer, firstHost, parseServerUrl } from "./server-settings.ts";
import type { ServerSettings, ServerUrlRules } from "./server-settings.ts";

/** What a statement is for, its text, and how long and with which settings it may run. */
export interface ClickhouseCall {
  /** For messages: `digest audit/scan`. */
  readonly doing: string;
  readonly sql: string;
  readonly settings?: ClickHouseSettings;
  /** Milliseconds, where less than the URL's time-out. */
  readonly timeMs?: number;
  /** Bytes of an answer to a `select`, beyond which it is refused with `limit`. */
  readonly answerBytesMax?: number;
}

/** An answer held whole: integers of 64 bits and more are texts, as is all that JSON has no form for. */
export interface ClickhouseAnswer {
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** A ClickHouse server through its HTTP interface. */
export interface ClickhouseServer extends AsyncDisposable {
  readonly settings: ServerSettings;
  /** Runs a statement that answers nothing. */
  run(scope: Scope, call: ClickhouseCall): Promise<void>;
  /** Runs a SELECT whose answer is small. */
  select(scope: Scope, call: ClickhouseCall): Promise<ClickhouseAnswer>;
  /** Runs a SELECT of any size, some rows at a time; the time-out is that of each wait for more. */
  stream(scope: Scope, call: ClickhouseCall): AsyncIterable<readonly (readonly unknown[])[]>;
  /** Sends rows in the format that the INSERT statement names; answers when they are stored. */
  insert(scope: Scope, call: ClickhouseCall, rows: readonly Uint8Array[]): Promise<void>;
  health(): Promise<EngineHealth>;
}

const RULES: ServerUrlRules = {
  product: "ClickHouse",
  schemes: { clickhouse: "clear", clickhouses: "tls" },
  defaultPort: 8123,
  options: ["compression", "sql-user", "sql-password-file"],
};
const TLS_PORT = 8443;

// The oldest version whose SQL is all there that is used here: the analyzer as the only one that
// matters, EXPLAIN QUERY TREE without running passes, ReplacingMergeTree with deleted rows.
const VERSION_MIN = { year: 24, month: 8 };

// One form for every answer, whatever the server's own defaults are.
const ANSWER_SETTINGS: ClickHouseSettings = {
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_denormals: 1,
};

/** Reads a URL of ClickHouse. @throws StoreError `refused`. */
export function parseClickhouseUrl(url: string): ServerSettings {
  const isTls = /^clickhouses:|[?&]tls=true(?:&|$)/i.test(url);
  return parseServerUrl(url, { ...RULES, defaultPort: isTls ? TLS_PORT : RULES.defaultPort });
}

/**
 * The same server under the account that the URL names for people's SQL; `undefined` when it names none.
 *
 * @throws StoreError `refused` when the file with its password cannot be read.
 */
export function readerSettings(settings: ServerSettings): ServerSettings | undefined {
  const { "sql-user": user, "sql-password-file": file } = settings.options;
  if (user === undefined) return undefined;
  const { password: _writers, ...rest } = settings;
  if (file === undefined) return { ...rest, user };
  try {
    return { ...rest, user, password: readFileSync(file, "utf8").trimEnd() };
  } catch (cause) {
    throw new StoreError(
      "refused",
      `the URL of ClickHouse names the file ${file}, which cannot be read`,
      { cause },
    );
  }
}

/**
 * Opens the connections to a server; nothing is sent before the first call.
 *
 * @throws StoreError `unsupported` when the client library is not installed.
 */
export async function connectClickhouse(settings: ServerSettings): Promise<ClickhouseServer> {
  const library = await loadClientLibrary(() => import("@clickhouse/client"), {
    product: "ClickHouse",
    install: "@clickhouse/client@1",
  });
  const client = library.createClient({
    ...connectionOf(settings),
    // Its log would show statements and what they hold.
    log: { level: library.ClickHouseLogLevel.OFF },
  });
  return new HttpServer(settings, client);
}

type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>;

function connectionOf(settings: ServerSettings): ClientOptions {
  const { tls, user = "default", password, timeoutMs, poolMax, options } = settings;
  const { host, port } = firstHost(settings);
  const isGzip = options["compression"] === "gzip";
  // The server takes a certificate for a password only where it is told to.
  const byCertificate = tls?.cert !== undefined && password === undefined;
  const pool = { keepAlive: true, maxSockets: poolMax };
  const agent =
    tls === undefined
      ? new ClearAgent(pool)
      : new TlsAgent({ ...pool, ...tls, rejectUnauthorized: tls.isVerified });
  limitConnecting(agent, settings.connectMs);
  return {
    url: `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`,
    request_timeout: timeoutMs,
    compression: { request: isGzip, response: isGzip },
    http_agent: agent,
    ...(byCertificate
      ? {
          set_basic_auth_header: false,
          http_headers: { "X-ClickHouse-User": user, "X-ClickHouse-SSL-Certificate-Auth": "on" },
        }
      : { username: user, password: password ?? "" }),
  };
}

/** Gives up connecting after a time of its own, which is shorter than that of a call. */
function limitConnecting(agent: ClearAgent, connectMs: number): void {
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = create(options, callback);
    if (!(socket instanceof Socket)) return socket;
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${connectMs} ms`)),
      connectMs,
    );
    const stop = (): void => clearTimeout(timer);
    socket.once("connect", stop).once("close", stop);
    return socket;
  };
}

class HttpServer implements ClickhouseServer {
  readonly settings: ServerSettings;
  readonly #client: ClickHouseClient;
  #version: Promise<string> | undefined;
  #isClosed = false;

  constructor(settings: ServerSettings, client: ClickHouseClient) {
    this.settings = settings;
    this.#client = client;
  }

  async run(scope: Scope, call: ClickhouseCall): Promise<void> {
    await this.#call(scope, call, async (signal) => {
      await this.#client.command({
        query: call.sql,
        abort_signal: signal,
        clickhouse_settings: { wait_end_of_query: 1, ...call.settings },
      });
    });
  }

  async insert(scope: Scope, call: ClickhouseCall, rows: readonly Uint8Array[]): Promise<void> {
    await this.#call(scope, call, async (signal) => {
      const { stream } = await this.#client.exec({
        query: call.sql,
        values: Readable.from(rows, { objectMode: false }),
        abort_signal: signal,
        clickhouse_settings: { wait_end_of_query: 1, async_insert: 0, ...call.settings },
      });
      for await (const _ of stream);
    });
  }

  async select(scope: Scope, call: ClickhouseCall): Promise<ClickhouseAnswer> {
    return await this.#call(scope, call, async (signal, ms) => {
      const { stream } = await this.#client.exec({
        query: call.sql,
        abort_signal: signal,
        clickhouse_settings: {
          ...ANSWER_SETTINGS,
          // Beside the statement: a FORMAT clause would become part of one that breaks off before it.
          default_format: "JSONCompactEachRowWithNamesAndTypes",
          wait_end_of_query: 1,
          // What nobody waits for any longer ends there too.
          max_execution_time: Math.ceil(ms / 1_000),
          ...call.settings,
        },
      });
      const [names = [], types = [], ...rows] = parseLines(await readText(stream, call));
      return { names: names.map(String), types: types.map(String), rows };
    });
  }

  async *stream(
    scope: Scope,
    call: ClickhouseCall,
  ): AsyncGenerator<readonly (readonly unknown[])[]> {
    const over = new AbortController();
    // Each wait for more has the whole time: how long all of it takes is the caller's affair.
    const wait = async <Result>(work: () => Promise<Result>): Promise<Result> =>
      await this.#call(scope, call, async (signal) => {
        signal.addEventListener("abort", () => over.abort(signal.reason), { once: true });
        return await work();
      });
    try {
      const rows = await wait(async () => {
        const result = await this.#client.query({
          query: call.sql,
          format: "JSONCompactEachRow",
          abort_signal: over.signal,
          clickhouse_settings: { ...ANSWER_SETTINGS, ...call.settings },
        });
        const stream: AsyncIterable<readonly { readonly text: string }[]> = result.stream();
        return stream[Symbol.asyncIterator]();
      });
      for (;;) {
        const next = await wait(() => rows.next());
        if (next.done === true) return;
        yield next.value.map(({ text }) => JSON.parse(text) as unknown[]);
      }
    } finally {
      over.abort();
    }
  }

  async health(): Promise<EngineHealth> {
    const startedAt = performance.now();
    const scope = { tenant: "", actor: "health", deadline: Number.POSITIVE_INFINITY };
    const version = await this.#ask(scope, "ask ClickHouse for its version");
    return { product: "ClickHouse", version, tookMs: performance.now() - startedAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#client.close();
  }

  async #call<Result>(
    scope: Scope,
    { doing, timeMs }: ClickhouseCall,
    work: (signal: AbortSignal, ms: number) => Promise<Result>,
  ): Promise<Result> {
    this.#version ??= this.#ask(scope, doing);
    try {
      await this.#version;
    } catch (cause) {
      this.#version = undefined;
      throw cause;
    }
    return await this.#limited(scope, { doing, ...(timeMs === undefined ? {} : { timeMs }) }, work);
  }

  async #limited<Result>(
    scope: Scope,
    { doing, timeMs = Number.POSITIVE_INFINITY }: { doing: string; timeMs?: number },
    work: (signal: AbortSignal, ms: number) => Promise<Result>,
  ): Promise<Result> {
    if (this.#isClosed) throw new StoreError("unavailable", `${doing}: the store is closed`);
    const ms = Math.min(timeMs, callMilliseconds(scope, this.settings.timeoutMs, Date.now()));
    const what = `${doing} at ${describeServer(this.settings)}`;
    try {
      return await withinMilliseconds(ms, what, (signal) => work(signal, ms));
    } catch (cause) {
      throw mapClickhouseError(what, cause);
    }
  }

  /** The server's version, which must be new enough. */
  async #ask(scope: Scope, doing: string): Promise<string> {
    const version = await this.#limited(scope, { doing }, async (signal) => {
      const result = await this.#client.query({
        query: "SELECT version() AS version",
        format: "JSONEachRow",
        abort_signal: signal,
      });
      const [row] = await result.json<{ version: string }>();
      return row?.version ?? "";
    });
    checkVersion(version);
    return version;
  }
}

/** Refuses a server that is too old. @throws StoreError `unsupported` saying which is needed. */
export function checkVersion(version: string): void {
  const [year = 0, month = 0] = version.split(".").map(Number);
  const { year: yearMin, month: monthMin } = VERSION_MIN;
  if (year > yearMin || (year === yearMin && month >= monthMin)) return;
  throw new StoreError(
    "unsupported",
    `ClickHouse ${version} is too old: Custody needs ${yearMin}.${monthMin} or newer`,
  );
}

async function readText(
  stream: AsyncIterable<Uint8Array>,
  { doing, answerBytesMax = Number.POSITIVE_INFINITY }: ClickhouseCall,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > answerBytesMax) {
      throw new StoreError("limit", `${doing}: the answer is larger than ${answerBytesMax} bytes`);
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseLines(text: string): unknown[][] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown[]);
}
