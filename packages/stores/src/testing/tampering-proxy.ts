import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** What is done to the bytes of one direction: they are passed on as answered, or the connection is cut. */
export type Tampering = (bytes: Buffer, connection: number) => Buffer | "cut";

/** A proxy on a free port of 127.0.0.1. */
export interface TamperingProxy extends AsyncDisposable {
  readonly port: number;
  /** How many connections were made so far. */
  connections(): number;
}

const untouched: Tampering = (bytes) => bytes;

/** Stands between a client and a server and alters what they say: for faults that no network tool makes. */
export async function openTamperingProxy(
  upstream: { readonly host: string; readonly port: number },
  { up = untouched, down = untouched }: { readonly up?: Tampering; readonly down?: Tampering },
): Promise<TamperingProxy> {
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer((client) => {
    connections += 1;
    const number = connections;
    const upward = connect(upstream);
    for (const socket of [client, upward]) {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        upward.destroy();
      });
    }
    const pass = (to: Socket, tampering: Tampering) => (bytes: Buffer) => {
      const altered = tampering(bytes, number);
      if (altered === "cut") client.destroy();
      else to.write(altered);
    };
    client.on("data", pass(upward, up));
    upward.on("data", pass(client, down));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}
