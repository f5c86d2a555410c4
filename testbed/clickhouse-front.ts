// ClickHouse's HTTP interface (clickhouse.com/docs/interfaces/http), as far as its JavaScript client
// uses it, over the engine inside the npm package chdb. Arguments: port, data directory, dist.
//
// One engine, one statement at a time; no users, no sessions, no progress headers.
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";

interface ChdbSession {
  queryAsync(sql: string, options?: { format: string }): Promise<{ bytes(): Uint8Array }>;
  close(): void;
}

interface ChdbModule {
  readonly Session: new (path: string) => ChdbSession;
}

// What a request says beside settings; everything else in its query is a setting.
const NO_SETTINGS = new Set(
  `query database default_format query_id user password role
   session_id session_timeout session_check client_protocol_version
   compress decompress enable_http_compression wait_end_of_query buffer_size
   send_progress_in_http_headers http_headers_progress_interval_ms`.split(/\s+/),
);

const [portText = "", directory = "", dist = ""] = process.argv.slice(2);
const uploads = join(directory, "upload");
rmSync(uploads, { recursive: true, force: true });
mkdirSync(uploads, { recursive: true });
const { Session } = createRequire(join(dist, "package.json"))("chdb") as ChdbModule;
const session = new Session(join(directory, "db"));
let last: Promise<unknown> = Promise.resolve();

const server = createServer((request, response) => {
  void answer(request, response);
});
server.listen(Number(portText), "127.0.0.1");
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    server.close();
    session.close();
    process.exit(0);
  });
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://front");
  const isQuestion = request.method !== "GET" || url.searchParams.has("query");
  if (url.pathname === "/ping" || !isQuestion) {
    response.end("Ok.\n");
    return;
  }
  response.setHeader("X-ClickHouse-Query-Id", url.searchParams.get("query_id") ?? randomUUID());
  try {
    const body = decompress(await buffer(request), request.headers["content-encoding"]);
    const work = last.then(() => run(url.searchParams, body, request.headers));
    last = work.catch(() => undefined);
    const out = await work;
    if (isCompressionAsked(url.searchParams, request.headers)) {
      response.setHeader("Content-Encoding", "gzip");
      response.end(gzipSync(out));
    } else response.end(out);
  } catch (error) {
    const { code, text } = describeError(error);
    response.statusCode = 500;
    response.setHeader("X-ClickHouse-Exception-Code", code);
    response.end(`${text}\n`);
  }
}

async function run(
  asked: URLSearchParams,
  body: Buffer,
  headers: IncomingHttpHeaders,
): Promise<Uint8Array> {
  const { sql, file } = statement(asked.get("query") ?? "", body);
  const format =
    asked.get("default_format") ?? String(headers["x-clickhouse-format"] ?? "TabSeparated");
  const database = asked.get("database") ?? String(headers["x-clickhouse-database"] ?? "default");
  const undo: string[] = [];
  try {
    await session.queryAsync(`USE ${quoteName(database === "" ? "default" : database)}`);
    for (const [name, value] of asked) {
      if (name.startsWith("param_")) await session.queryAsync(`SET ${name} = ${quote(value)}`);
      else if (!NO_SETTINGS.has(name) && /^\w+$/.test(name)) {
        undo.push(`SET ${name} = DEFAULT`);
        const isNumber = /^-?\d+(\.\d+)?$/.test(value);
        await session.queryAsync(`SET ${name} = ${isNumber ? value : quote(value)}`);
      }
    }
    return (await session.queryAsync(sql, { format })).bytes();
  } finally {
    for (const sql of undo) await session.queryAsync(sql).catch(() => undefined);
    if (file !== undefined) rmSync(file, { force: true });
  }
}

// The engine has no stream to read an insert's rows from, so they go by way of a file.
function statement(query: string, body: Buffer): { sql: string; file?: string } {
  const insert = /^(\s*insert\b[\s\S]*?)\s+format\s+(\w+)\s*;?\s*$/i.exec(query);
  if (insert !== null && body.length > 0) {
    const file = join(uploads, randomUUID());
    writeFileSync(file, body);
    return { sql: `${insert[1]} FROM INFILE ${quote(file)} FORMAT ${insert[2]}`, file };
  }
  const sql = [query, body.toString()].filter((part) => part !== "").join("\n");
  return { sql: sql.replace(/;\s*$/, "") };
}

function decompress(body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === "gzip") return gunzipSync(body);
  return encoding === "br" ? brotliDecompressSync(body) : body;
}

function isCompressionAsked(asked: URLSearchParams, headers: IncomingHttpHeaders): boolean {
  return (
    asked.get("enable_http_compression") === "1" &&
    String(headers["accept-encoding"]).includes("gzip")
  );
}

function describeError(error: unknown): { code: string; text: string } {
  const message = error instanceof Error ? error.message : String(error);
  const start = message.search(/Code: \d+/);
  if (start < 0) return { code: "1002", text: `Code: 1002. DB::Exception: ${message}` };
  return {
    code: /Code: (\d+)/.exec(message)?.[1] ?? "1002",
    text: message.slice(start),
  };
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function quoteName(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}
