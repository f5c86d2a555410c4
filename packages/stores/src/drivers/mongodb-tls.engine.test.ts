import { readFileSync } from "node:fs";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:tls";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hasOpenssl, makeCertificates } from "../testing/certificates.ts";
import { describeOnServer } from "../testing/engine-server.ts";
import type { TestServer } from "../testing/engine-server.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { openMongoDriver, readMongoSettings } from "./mongodb.ts";
import { firstHost } from "./server-settings.ts";

function describeTls(server: TestServer): void {
  describeOnServer(server, (url) => {
    describe.skipIf(!hasOpenssl)("through TLS", () => {
      let home: TemporaryDirectory;
      let at: (name: string) => string;
      let port = 0;
      let close: () => void = () => undefined;
      const sockets = new Set<Socket>();

      // The test's server speaks in clear text: in front of it stands an end of TLS that asks for certificates.
      beforeAll(async () => {
        home = await makeTemporaryDirectory();
        at = makeCertificates(home.path);
        const upstream = firstHost(readMongoSettings(url));
        const front = createServer(
          {
            key: readFileSync(at("server.key")),
            cert: readFileSync(at("server.pem")),
            ca: readFileSync(at("ca.pem")),
            requestCert: true,
            rejectUnauthorized: true,
          },
          (client) => {
            const onward = connect(upstream);
            for (const socket of [client, onward]) {
              sockets.add(socket);
              socket.on("error", () => undefined);
              socket.on("close", () => {
                client.destroy();
                onward.destroy();
              });
            }
            client.pipe(onward).pipe(client);
          },
        );
        front.on("tlsClientError", () => undefined);
        await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
        port = (front.address() as AddressInfo).port;
        close = () => {
          for (const socket of sockets) socket.destroy();
          front.close();
        };
      });
      afterAll(async () => {
        close();
        await home[Symbol.asyncDispose]();
      });

      const health = async (options: Readonly<Record<string, string>>, host = "127.0.0.1") => {
        const limits = { tls: "true", direct: "true", timeout: "2000", "connect-timeout": "800" };
        const query = new URLSearchParams({ ...limits, ...options }).toString();
        await using driver = await openMongoDriver({ url: `mongodb://${host}:${port}/x?${query}` });
        return await driver.health();
      };
      const own = () => ({ ca: at("ca.pem"), cert: at("client.pem"), key: at("client.key") });
      const unavailable = { name: "StoreError", code: "unavailable", retryable: true };

      test("an authority of one's own and a client's certificate are taken from files", async () => {
        expect((await health(own())).tookMs).toBeGreaterThanOrEqual(0);
      });

      test("a server of an unknown authority, and a client without a certificate, are unavailable", async () => {
        const { ca, cert, key } = own();
        await expect(health({ cert, key })).rejects.toMatchObject(unavailable);
        await expect(health({ ca })).rejects.toMatchObject(unavailable);
      });

      test("a server of another name than its certificate's is unavailable", async () => {
        await expect(health(own(), "localhost")).rejects.toMatchObject(unavailable);
      });

      test("a certificate that is not looked at may be anyone's, where the URL says so", async () => {
        const { cert, key } = own();
        expect((await health({ cert, key, verify: "false" })).version).toMatch(/^\d/);
      });
    });
  });
}

describeTls("mongodb");
describeTls("ferretdb");
describeTls("mongojava");
