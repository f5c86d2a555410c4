import { once } from "node:events";
import { createServer, connect } from "node:net";
import type { Server, Socket } from "node:net";

import { afterEach, beforeEach, expect, test } from "vitest";

import { describeOnServer } from "./engine-server.ts";
import { openToxiproxyProxy } from "./toxiproxy.ts";
import type { ToxiproxyProxy } from "./toxiproxy.ts";

/** A server that answers what it hears, and everything it heard. */
interface Echo {
  readonly server: Server;
  readonly port: number;
  readonly heard: () => string;
}

async function openEcho(): Promise<Echo> {
  let heard = "";
  const server = createServer((socket) => {
    socket
      .on("error", () => undefined)
      .on("data", (bytes) => {
        heard += bytes.toString();
        socket.write(bytes);
      });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { server, port, heard: () => heard };
}

// What the client got, and how the connection ended, if it did.
function listen(socket: Socket): { got: string; end: string } {
  const events = { got: "", end: "open" };
  socket.on("data", (bytes) => (events.got += bytes.toString()));
  socket.on("end", () => (events.end = "closed"));
  socket.on("error", (error: NodeJS.ErrnoException) => (events.end = error.code ?? "error"));
  return events;
}

describeOnServer("toxiproxy", (api) => {
  let echo: Echo;
  let proxy: ToxiproxyProxy;
  let client: Socket;
  let events: { got: string; end: string };
  beforeEach(async () => {
    echo = await openEcho();
    proxy = await openToxiproxyProxy(api, { upstream: `127.0.0.1:${echo.port}` });
    client = connect(proxy.port, "127.0.0.1");
    events = listen(client);
    client.write("a");
    await expect.poll(() => events.got).toBe("a");
  });
  afterEach(async () => {
    client.destroy();
    await proxy[Symbol.asyncDispose]();
    echo.server.close();
  });

  test("an answer is held back while it is late, and comes when the toxic goes", async () => {
    const toxic = await proxy.add("downstream", { type: "latency", latency: 60_000 });
    client.write("b");
    await expect.poll(() => echo.heard()).toBe("ab");
    expect(events).toEqual({ got: "a", end: "open" });
    await toxic[Symbol.asyncDispose]();
    await expect.poll(() => events.got).toBe("ab");
  });

  test("a swallowed request is never heard, and the connection stays open meanwhile", async () => {
    const toxic = await proxy.add("upstream", { type: "timeout", timeout: 0 });
    client.write("b");
    const other = connect(echo.port, "127.0.0.1").end("direct");
    await expect.poll(() => echo.heard()).toBe("adirect");
    expect(events).toEqual({ got: "a", end: "open" });
    await toxic[Symbol.asyncDispose]();
    other.destroy();
  });

  test("a connection that was open is reset, and so is one that is opened then", async () => {
    const reset = await proxy.armReset();
    client = connect(proxy.port, "127.0.0.1");
    events = listen(client);
    client.write("b");
    await expect.poll(() => events.got).toBe("b");
    const fired = await reset.fire();
    client.write("c");
    await expect.poll(() => events).toEqual({ got: "b", end: "ECONNRESET" });
    const another = connect(proxy.port, "127.0.0.1");
    const refused = listen(another);
    another.write("d");
    await expect.poll(() => refused.end).toBe("ECONNRESET");
    await fired[Symbol.asyncDispose]();
    expect(echo.heard()).toBe("ab");
  });

  test("an answer breaks off at the limit, though its request was heard", async () => {
    await using _toxic = await proxy.add("downstream", { type: "limit_data", bytes: 1 });
    client.write("bcd");
    await expect.poll(() => events.end).toBe("closed");
    expect([events.got, echo.heard()]).toEqual(["ab", "abcd"]);
  });

  test("a proxy that is shut closes connections and refuses others, until it opens again", async () => {
    const shut = await proxy.shut();
    await expect.poll(() => events.end).not.toBe("open");
    const refused = listen(connect(proxy.port, "127.0.0.1"));
    await expect.poll(() => refused.end).toBe("ECONNREFUSED");
    await shut[Symbol.asyncDispose]();
    client = connect(proxy.port, "127.0.0.1");
    events = listen(client);
    client.write("b");
    await expect.poll(() => events.got).toBe("b");
  });

  test("a proxy on a fixed port takes the place of one that was left there", async () => {
    const left = await openToxiproxyProxy(api, { upstream: `127.0.0.1:${echo.port}` });
    const { port } = left;
    await left[Symbol.asyncDispose]();
    const upstream = `127.0.0.1:${echo.port}`;
    await openToxiproxyProxy(api, { upstream, listenPort: port });
    await using again = await openToxiproxyProxy(api, { upstream, listenPort: port });
    expect(again.port).toBe(port);
  });
});
