import { access } from "node:fs/promises";
import { join } from "node:path";

import { runCommand } from "./command.ts";
import { makeOpenDirectory } from "./service-user.ts";
import { whileLocked } from "./turns.ts";

/** PEM files of the testbed's own authority, of a server on 127.0.0.1, and of a client. */
export interface Certificates {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

/** The name in the client's certificate, and the user that servers take it for. */
export const CLIENT_NAME = "testbed_client";

/** The authority's own certificate, which clients are told to trust. */
export function authorityFile(home: string): string {
  return join(home, "certificates", "ca.pem");
}

const TEN_YEARS_DAYS = "3650";

/** Makes, once for a home, an authority and the certificates that it signs; for tests alone. */
export async function testbedCertificates(home: string): Promise<Certificates> {
  const folder = join(home, "certificates");
  const of = (name: string): string => join(folder, name);
  const files: Certificates = {
    ca: authorityFile(home),
    serverCert: of("server.pem"),
    serverKey: of("server.key"),
    clientCert: of("client.pem"),
    clientKey: of("client.key"),
  };
  await makeOpenDirectory(folder);
  await whileLocked(folder, async () => {
    const isMade = await access(of("complete")).then(
      () => true,
      () => false,
    );
    if (!isMade) await make(folder);
  });
  return files;
}

async function make(folder: string): Promise<void> {
  const run = async (program: string, args: readonly string[]): Promise<void> =>
    await runCommand(program, args, { cwd: folder, log: join(folder, "openssl.log") });
  const certificate = async (file: string, name: string, rest: readonly string[]): Promise<void> =>
    await run("openssl", [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      TEN_YEARS_DAYS,
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${file}.key`,
      "-out",
      `${file}.pem`,
      ...rest,
    ]);
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key"].concat(
    ["basicConstraints=critical,CA:FALSE", "subjectAltName=DNS:localhost,IP:127.0.0.1"].flatMap(
      (extension) => ["-addext", extension],
    ),
  );
  await certificate("ca", "Custody testbed authority", []);
  await certificate("server", "localhost", signed);
  await certificate("client", CLIENT_NAME, signed);
  // Only test keys: users other than the one who made them have to read them.
  await run("chmod", ["644", "server.key", "client.key"]);
  await run("touch", ["complete"]);
}
