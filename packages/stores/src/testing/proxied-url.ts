/** Where a proxy stands: what it passes on to, and on which port of 127.0.0.1 it listens. */
export interface ProxyRoute {
  /** `host:port` of the server. */
  readonly upstream: string;
  /** A port that the server knows as its address; absent where any free one does. */
  readonly listenPort?: number;
}

const FORM =
  /^([a-z][a-z0-9+.-]*:\/\/(?:[^@/?#]*@)?)(\[[^\]]+\]|[^:,/?#]+):(\d+)(?:,[^/?#]*)?(.*)$/i;

/**
 * Reads from a server's URL what a proxy in front of it needs.
 *
 * A server that sends its clients to an address of its own (Kafka) needs a second listener that
 * names the proxy: `fixed` is `listen:upstream`, the proxy's port and the port of that listener.
 */
export function proxyRoute(url: string, fixed: string | undefined): ProxyRoute {
  const [, , host = "", port = ""] = parse(url);
  if (fixed === undefined) return { upstream: `${host}:${port}` };
  const [, listenPort, upstreamPort] = /^(\d+):(\d+)$/.exec(fixed) ?? [];
  if (listenPort === undefined || upstreamPort === undefined) {
    throw new Error(`${JSON.stringify(fixed)} is not listen:upstream, two ports`);
  }
  return { upstream: `${host}:${upstreamPort}`, listenPort: Number(listenPort) };
}

/** The same server reached through the proxy's port, with options put in place of its own. */
export function throughProxy(
  url: string,
  port: number,
  options: Readonly<Record<string, string>>,
): string {
  const [, before = "", , , rest = ""] = parse(url);
  const [path = "", query = ""] = rest.split(/\?(.*)/s, 2);
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(options)) parameters.set(name, value);
  return `${before}127.0.0.1:${port}${path}?${parameters.toString()}`;
}

function parse(url: string): RegExpExecArray {
  const match = FORM.exec(url);
  if (match === null) throw new Error("a proxy needs a server URL with host and port");
  return match;
}
