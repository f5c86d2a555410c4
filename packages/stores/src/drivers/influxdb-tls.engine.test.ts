import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hasOpenssl, makeCertificates } from "../testing/certificates.ts";
import { describeOnServer } from "../testing/engine-server.ts";
import { proxyRoute } from "../testing/proxied-url.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { openInfluxdb } from "./influxdb.ts";

describeOnServer("influxdb", (url) => {
  describe.skipIf(!hasOpenssl)("through TLS", () => {
    let home: TemporaryDirectory;
    let at: (name: string) => string;
    let port = 0;
    let asked = "";
    let close: () => void = () => undefined;

    // The test's server speaks in clear text: in front of it stands an end of TLS that asks for certificates.
    beforeAll(async () => {
      home = await makeTemporaryDirectory();
      at = makeCertificates(home.path);
      const [host, upstream] = proxyRoute(url, undefined).upstream.split(":");
      const identity = {
        key: readFileSync(at("server.key")),
        cert: readFileSync(at("server.pem")),
        ca: readFileSync(at("ca.pem")),
      };
      const front = createServer({ ...identity, requestCert: true }, (socket) => {
        const passed = connect(Number(upstream), host);
        socket.on("data", (chunk: Buffer) => (asked += chunk.toString("latin1")));
        socket.on("error", () => passed.destroy());
        passed.on("error", () => socket.destroy());
        socket.pipe(passed).pipe(socket);
      });
      front.on("tlsClientError", () => undefined);
      await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
      port = (front.address() as AddressInfo).port;
      close = () => front.close();
    });
    afterAll(async () => {
      close();
      await home[Symbol.asyncDispose]();
    });

    const health = async (options: Readonly<Record<string, string>>) => {
      const query = new URLSearchParams({ timeout: "3000", ...options }).toString();
      const server = `influxdbs://ana:p%40ss@127.0.0.1:${port}/x?${query}`;
      await using one = await openInfluxdb(server, Date.now);
      return await one.health();
    };

    test("an authority of one's own and a client's certificate are used, and the user's token", async () => {
      const own = { ca: at("ca.pem"), cert: at("client.pem"), key: at("client.key") };
      expect((await health(own)).product).toBe("InfluxDB");
      expect(asked.toLowerCase()).toContain("authorization: token ana:p@ss\r\n");
    });

    test("a server of an unknown authority, and a client without a certificate, are unavailable", async () => {
      const unavailable = { name: "StoreError", code: "unavailable", retryable: true };
      await expect(health({})).rejects.toMatchObject(unavailable);
      await expect(health({ ca: at("ca.pem") })).rejects.toMatchObject(unavailable);
    });
  });
});
