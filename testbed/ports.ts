import { createServer } from "node:net";

/** Chooses a port for each name: the one of last time, else the usual one, else any that is free. */
export async function choosePorts(
  usual: Readonly<Record<string, number>>,
  last: Readonly<Record<string, number>>,
): Promise<Readonly<Record<string, number>>> {
  const chosen: Record<string, number> = {};
  for (const [name, port] of Object.entries(usual)) {
    const candidates = [last[name] ?? port, port, 0];
    for (const candidate of candidates) {
      const got = await tryPort(candidate);
      if (got === undefined || Object.values(chosen).includes(got)) continue;
      chosen[name] = got;
      break;
    }
  }
  return chosen;
}

async function tryPort(port: number): Promise<number | undefined> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: "127.0.0.1" }, () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === "object" && address !== null ? address.port : undefined);
      });
    });
  });
}
