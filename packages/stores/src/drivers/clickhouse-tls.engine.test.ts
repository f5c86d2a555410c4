import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { describeOnServer } from "../testing/engine-server.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { connectClickhouse, parseClickhouseUrl } from "./clickhouse.ts";
import { firstHost } from "./server-settings.ts";

// Certificates are made with the tool that every system has; without it these tests are skipped by name.
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/** An authority with a certificate for 127.0.0.1 and one for a client. */
function makeCertificates(directory: string): (name: string) => string {
  const at = (name: string): string => join(directory, name);
  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  writeFileSync(at("names"), "subjectAltName=IP:127.0.0.1");
  openssl("req", "-x509", ...newKey, ..."-keyout ca.key -out ca.pem -subj /CN=ca".split(" "));
  for (const name of ["server", "client"]) {
    openssl(
      "req",
      ...newKey,
      ...`-keyout ${name}.key -out ${name}.csr -subj /CN=${name}`.split(" "),
    );
    openssl(
      ...`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial`.split(" "),
      ...`-out ${name}.pem -extfile names`.split(" "),
    );
  }
  return at;
}

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
