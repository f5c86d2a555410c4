import { connect } from "node:net";

const PROBE_MS = 3_000;

/** Asks a server over HTTP and answers the body. Throws unless it answers with success. */
export async function askHttp(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_MS) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text.slice(0, 200)}`);
  return text;
}

/** Throws unless something listens on a port of 127.0.0.1. */
export async function requirePort(port: number | undefined): Promise<void> {
  if (port === undefined) throw new Error("a port has no number");
  const socket = connect(port, "127.0.0.1");
  socket.setTimeout(PROBE_MS, () => socket.destroy(new Error(`port ${port} does not answer`)));
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.destroy();
}
