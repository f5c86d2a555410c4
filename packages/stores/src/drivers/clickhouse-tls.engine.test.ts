import { readFileSync } from "node:fs";
import { request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hasOpenssl, makeCertificates } from "../testing/certificates.ts";
import { describeOnServer } from "../testing/engine-server.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { connectClickhouse, parseClickhouseUrl } from "./clickhouse.ts";
import { firstHost } from "./server-settings.ts";

describeOnServer("clickhouse", (url) => {
  describe.skipIf(!hasOpenssl)("through TLS", () => {
    let home: TemporaryDirectory;
    let at: (name: string) => string;
    let port = 0;
    let headers: IncomingHttpHeaders = {};
    let close: () => void = () => undefined;

    // The test's server speaks plain HTTP: in front of it stands an end of TLS that asks for certificates.
    beforeAll(async () => {
      home = await makeTemporaryDirectory();
      at = makeCertificates(home.path);
      const { host, port: upstream } = firstHost(parseClickhouseUrl(url));
      const front = createServer(
        {
          key: readFileSync(at("server.key")),
          cert: readFileSync(at("server.pem")),
          ca: readFileSync(at("ca.pem")),
          requestCert: true,
          rejectUnauthorized: true,
        },
        (incoming, outgoing) => {
          headers = incoming.headers;
          const { method, url: path } = incoming;
          const passed = request({ host, port: upstream, method, path }, (answer) => {
            outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
            answer.pipe(outgoing);
          });
          incoming.pipe(passed);
        },
      );
      await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
      port = (front.address() as AddressInfo).port;
      close = () => {
        front.closeAllConnections();
        front.close();
      };
    });
    afterAll(async () => {
      close();
      await home[Symbol.asyncDispose]();
    });

    const health = async (account: string, options: Readonly<Record<string, string>>) => {
      const query = new URLSearchParams({ timeout: "3000", ...options }).toString();
      const settings = parseClickhouseUrl(`clickhouses://${account}127.0.0.1:${port}/x?${query}`);
      await using server = await connectClickhouse(settings);
      return await server.health();
    };
    const own = () => ({ ca: at("ca.pem"), cert: at("client.pem"), key: at("client.key") });

    test("an authority of one's own and a client's certificate are enough, without a password", async () => {
      expect((await health("auditor@", own())).product).toBe("ClickHouse");
      expect(headers["x-clickhouse-user"]).toBe("auditor");
      expect(headers["x-clickhouse-ssl-certificate-auth"]).toBe("on");
      expect(headers.authorization).toBeUndefined();
    });

    test("with a password the account is that of the password", async () => {
      await health("auditor:p%40ss@", own());
      expect(headers.authorization).toBe(
        `Basic ${Buffer.from("auditor:p@ss", "utf8").toString("base64")}`,
      );
      expect(headers["x-clickhouse-ssl-certificate-auth"]).toBeUndefined();
    });

    test("a server of an unknown authority, and a client without a certificate, are unavailable", async () => {
      const unavailable = { name: "StoreError", code: "unavailable", retryable: true };
      const { cert, key } = own();
      await expect(health("", { cert, key })).rejects.toMatchObject(unavailable);
      await expect(health("", { ca: at("ca.pem") })).rejects.toMatchObject(unavailable);
      const failure: unknown = await health("auditor:p%40ss@", { cert, key }).catch(
        (cause: unknown) => cause,
      );
      expect(String(failure)).not.toMatch(/p@ss|p%40ss/);
    });

    test("a certificate that is not looked at may be anyone's, where the URL says so", async () => {
      const { cert, key } = own();
      expect((await health("", { cert, key, verify: "false" })).product).toBe("ClickHouse");
    });
  });
});
