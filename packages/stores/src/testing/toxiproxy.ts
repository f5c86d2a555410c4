/** Which way bytes flow: `upstream` from the client to the server, `downstream` back. */
export type ToxicStream = "upstream" | "downstream";

/** What is done to the bytes of every connection of a proxy, in toxiproxy's own words and units. */
export type Toxic =
  /** Milliseconds that each piece is late; what was held back is passed on when the toxic goes. */
  | { readonly type: "latency"; readonly latency: number; readonly jitter?: number }
  /** Nothing passes; the connection is closed after `timeout` milliseconds, with 0 never. */
  | { readonly type: "timeout"; readonly timeout: number }
  /** The connection is closed when so many bytes have passed since the toxic was added. */
  | { readonly type: "limit_data"; readonly bytes: number }
  /** Kilobytes a second. */
  | { readonly type: "bandwidth"; readonly rate: number }
  /** Pieces of about `average_size` bytes, `delay` microseconds apart. */
  | {
      readonly type: "slicer";
      readonly average_size: number;
      readonly size_variation: number;
      readonly delay: number;
    };

/** A proxy in front of one server; removed, and its connections closed, when disposed of. */
export interface ToxiproxyProxy extends AsyncDisposable {
  readonly port: number;
  /** Hurts every connection, those under way included, until the answer is disposed of. */
  readonly add: (stream: ToxicStream, toxic: Toxic) => Promise<AsyncDisposable>;
  /**
   * Makes connections opened from now on such that `fire` resets them (TCP RST) at the next bytes they
   * carry to the server, until the answer of `fire` is disposed of.
   */
  readonly armReset: () => Promise<{ readonly fire: () => Promise<AsyncDisposable> }>;
  /** Closes the listener and every connection, so that clients are refused, until the answer is disposed of. */
  readonly shut: () => Promise<AsyncDisposable>;
}

export interface ToxiproxyProxyOptions {
  /** `host:port` of the server, as toxiproxy reaches it. */
  readonly upstream: string;
  /** Port of 127.0.0.1 to listen on; a free one unless given. */
  readonly listenPort?: number;
}

// Toxiproxy answers the removal of a latency only after it has passed on what it held back.
const CALL_MS = 20_000;

/**
 * Makes a proxy in a running toxiproxy, through which a test reaches a server and hurts the network
 * between them. A proxy that an earlier run left on the same fixed port is replaced.
 *
 * @param api Where toxiproxy's HTTP interface answers: `http://127.0.0.1:8474`.
 */
export async function openToxiproxyProxy(
  api: string,
  { upstream, listenPort = 0 }: ToxiproxyProxyOptions,
): Promise<ToxiproxyProxy> {
  const name = `custody-${listenPort === 0 ? crypto.randomUUID() : listenPort}`;
  if (listenPort !== 0) await call(api, "DELETE", `/proxies/${name}`);
  const made = await call(api, "POST", "/proxies", {
    name,
    upstream,
    listen: `127.0.0.1:${listenPort}`,
    enabled: true,
  });
  const port = Number(/:(\d+)$/.exec(listenOf(made))?.[1]);
  let toxics = 0;

  return {
    port,
    async add(stream, { type, ...attributes }) {
      const toxic = `${type}-${stream}-${++toxics}`;
      await call(api, "POST", `/proxies/${name}/toxics`, { name: toxic, type, stream, attributes });
      return disposable(() => call(api, "DELETE", `/proxies/${name}/toxics/${toxic}`));
    },
    async armReset() {
      // Toxiproxy readies a connection for a reset only if the toxic is there when it is opened; with
      // a toxicity of 0 it does nothing yet.
      const set = { name: "reset", type: "reset_peer", stream: "upstream" };
      const attributes = { timeout: 0 };
      const toxicsPath = `/proxies/${name}/toxics`;
      await call(api, "POST", toxicsPath, { ...set, toxicity: 0, attributes });
      return {
        async fire() {
          await call(api, "POST", `${toxicsPath}/reset`, { toxicity: 1, attributes });
          return disposable(() => call(api, "DELETE", `${toxicsPath}/reset`));
        },
      };
    },
    async shut() {
      await call(api, "POST", `/proxies/${name}`, { enabled: false });
      return disposable(() => call(api, "POST", `/proxies/${name}`, { enabled: true }));
    },
    async [Symbol.asyncDispose]() {
      await call(api, "DELETE", `/proxies/${name}`);
    },
  };
}

function disposable(end: () => Promise<unknown>): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      await end();
    },
  };
}

async function call(api: string, method: string, path: string, body?: object): Promise<unknown> {
  const response = await fetch(new URL(path, api), {
    method,
    signal: AbortSignal.timeout(CALL_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  // What is to be removed may be gone already: its proxy was disposed of first.
  if (!response.ok && !(method === "DELETE" && response.status === 404)) {
    throw new Error(`toxiproxy answers ${method} ${path} with ${response.status}: ${text}`);
  }
  return text === "" || !response.ok ? undefined : JSON.parse(text);
}

function listenOf(made: unknown): string {
  if (typeof made === "object" && made !== null && "listen" in made) return String(made.listen);
  throw new Error("toxiproxy does not say where a proxy listens");
}
