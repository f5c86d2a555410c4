import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";

/** A port that leads to a server until it is shut. */
export interface Forwarder extends AsyncDisposable {
  readonly port: number;
  /** Breaks every connection, and from now on refuses new ones or takes them and stays silent. */
  readonly shut: (how: "refusing" | "silent") => Promise<void>;
  readonly open: () => Promise<void>;
}

/** Opens a {@link Forwarder} to `host:port` on a free port of this machine. */
export async function openForwarder(upstream: string): Promise<Forwarder> {
  const [host = "", upstreamPort = ""] = upstream.split(":");
  const sockets = new Set<Socket>();
  let isSilent = false;
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const accept = (client: Socket): void => {
    track(client);
    if (isSilent) return;
    const server = connect(Number(upstreamPort), host);
    track(server);
    client.pipe(server).pipe(client);
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
  };
  let listener = await listen(accept, 0);
  const address = listener.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const close = async (): Promise<void> => {
    const closed = once(listener, "close");
    listener.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port,
    shut: async (how) => {
      await close();
      isSilent = how === "silent";
      if (isSilent) listener = await listen(accept, port);
    },
    open: async () => {
      if (listener.listening) await close();
      isSilent = false;
      listener = await listen(accept, port);
    },
    [Symbol.asyncDispose]: async () => {
      if (listener.listening) await close();
    },
  };
}

async function listen(accept: (client: Socket) => void, port: number): Promise<Server> {
  const server = createServer(accept);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}
