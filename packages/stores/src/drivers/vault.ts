import { request as requestClear } from "node:http";
import type { IncomingMessage, RequestOptions } from "node:http";
import { request as requestTls } from "node:https";

import { StoreError } from "../errors.ts";
import { withinMilliseconds } from "./call-limit.ts";
import { mapVaultFault, mapVaultNetworkError } from "./vault-errors.ts";
import type { VaultSettings } from "./vault-settings.ts";

/** One request to Vault. */
export interface VaultRequest {
  /** For errors: `wrap a key`. */
  readonly doing: string;
  readonly method: "GET" | "POST";
  /** Below `/v1/`; its parts need no escape. */
  readonly path: string;
  readonly body?: object;
  /** Statuses beside 2xx that are answered with `undefined`. */
  readonly accepts?: readonly number[];
}

// What is asked for here are some hundred bytes.
const ANSWER_BYTES_MAX = 1024 * 1024;

/**
 * Sends a request to Vault or OpenBao, within the time of its URL, and answers the `data` of the answer.
 *
 * Not by `fetch`: it cannot be given an authority to trust without a library of its own.
 *
 * @throws StoreError as `mapVaultFault` and `mapVaultNetworkError` say.
 */
export async function askVault(
  settings: VaultSettings,
  asked: VaultRequest,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const { doing, accepts = [] } = asked;
  try {
    return await withinMilliseconds(
      settings.timeoutMs,
      `Vault, asked to ${doing},`,
      async (signal) => {
        const { status, text } = await exchange(settings, asked, signal);
        const body = parseObject(text);
        if (status >= 200 && status < 300) return memberObject(body, "data");
        if (accepts.includes(status)) return undefined;
        throw mapVaultFault(doing, { status, errors: textsOf(body["errors"]) });
      },
    );
  } catch (cause) {
    throw mapVaultNetworkError(doing, cause);
  }
}

async function exchange(
  settings: VaultSettings,
  asked: VaultRequest,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  const payload = asked.body === undefined ? undefined : Buffer.from(JSON.stringify(asked.body));
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = settings.tls === undefined ? requestClear : requestTls;
  const sent = request({ ...optionsOf(settings, asked, payload), signal }, resolve);
  sent.on("error", reject);
  sent.on("socket", (socket) => {
    // Until it is open; the whole exchange has its own limit.
    socket.setTimeout(settings.connectMs);
    socket.once("timeout", () =>
      sent.destroy(
        new StoreError("unavailable", `Vault could not ${asked.doing}: no connection in time`),
      ),
    );
    socket.once(settings.tls === undefined ? "connect" : "secureConnect", () =>
      socket.setTimeout(0),
    );
  });
  sent.end(payload);
  const answer = await promise;
  return { status: answer.statusCode ?? 0, text: await readText(answer, asked.doing) };
}

function optionsOf(
  settings: VaultSettings,
  { method, path }: VaultRequest,
  payload: Buffer | undefined,
): RequestOptions {
  const { host, port, token, namespace, tls } = settings;
  return {
    host,
    port,
    method,
    path: `/v1/${path}`,
    // One exchange in a great while: no connection is kept.
    agent: false,
    headers: {
      "X-Vault-Token": token,
      // Vault's own agents demand it of what only looks like a request to them.
      "X-Vault-Request": "true",
      ...(namespace === undefined ? {} : { "X-Vault-Namespace": namespace }),
      ...(payload === undefined
        ? {}
        : { "content-type": "application/json", "content-length": payload.byteLength }),
    },
    ...(tls === undefined
      ? {}
      : {
          rejectUnauthorized: tls.isVerified,
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.cert === undefined ? {} : { cert: tls.cert }),
          ...(tls.key === undefined ? {} : { key: tls.key }),
        }),
  };
}

async function readText(answer: IncomingMessage, doing: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > ANSWER_BYTES_MAX)
      throw new StoreError("unavailable", `Vault could not ${doing}: its answer has no end`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

type Members = Readonly<Record<string, unknown>>;

/** Proxies in between answer with pages: what is no object has no members. */
function parseObject(text: string): Members {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function memberObject(body: Members, name: string): Members {
  const value = body[name];
  return isObject(value) ? value : {};
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
