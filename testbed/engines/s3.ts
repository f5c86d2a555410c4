import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";

import { authorityFile, testbedCertificates } from "../certificates.ts";
import type { Engine, Launch, Site } from "../engine.ts";
import { installGoProgram } from "../sources/go.ts";
import { VERSIONS } from "../versions.ts";
import { requirePort } from "./probes.ts";

const USER = "minioadmin";
// For tests alone: 32 bytes that everyone may know.
const KMS_KEY = `test-key:${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;

/** MinIO: S3 with versions, object locks and server-side encryption. */
export const s3: Engine = {
  name: "s3",
  pin: VERSIONS.s3,
  ports: { main: 29_000 },
  needs: ["go"],
  variable: "CUSTODY_TEST_S3_URL",
  isProven: true,
  note: "MinIO; a locked deletion is answered with 400 where AWS answers 403",
  install,
  launch,
  variables: ({ ports }) => ({
    CUSTODY_TEST_S3_URL: `s3://${USER}:${USER}@127.0.0.1:${ports["main"]}`,
  }),
};

/** The same server with TLS, which encryption with the client's own keys demands. */
export const s3Tls: Engine = {
  name: "s3-tls",
  pin: VERSIONS["s3-tls"],
  ports: { main: 29_001 },
  after: ["s3"],
  distOf: "s3",
  needs: ["go", "openssl"],
  variable: "CUSTODY_TEST_S3_TLS_URL",
  isProven: false,
  install,
  async launch(site) {
    const certificates = await testbedCertificates(site.home);
    const folder = join(site.run, "certificates");
    await mkdir(folder, { recursive: true });
    await copyFile(certificates.serverCert, join(folder, "public.crt"));
    await copyFile(certificates.serverKey, join(folder, "private.key"));
    return await launch(site);
  },
  variables: ({ home, ports }) => ({
    CUSTODY_TEST_S3_TLS_URL: `s3://${USER}:${USER}@127.0.0.1:${ports["main"]}?tls=true&ca=${authorityFile(home)}`,
  }),
};

async function install(directory: string, version: string): Promise<void> {
  await installGoProgram(directory, {
    package: `github.com/minio/minio@${version}`,
    binary: "minio",
  });
}

async function launch({ dist, run, ports }: Site): Promise<Launch> {
  await mkdir(join(run, "certificates"), { recursive: true });
  return {
    program: join(dist, "bin", "minio"),
    args: [
      "server",
      "--quiet",
      "--certs-dir",
      join(run, "certificates"),
      "--address",
      `127.0.0.1:${ports["main"]}`,
      join(run, "data"),
    ],
    environment: {
      MINIO_ROOT_USER: USER,
      MINIO_ROOT_PASSWORD: USER,
      MINIO_REGION: "us-east-1",
      MINIO_KMS_SECRET_KEY: KMS_KEY,
      MINIO_BROWSER: "off",
      MINIO_UPDATE: "off",
      MINIO_CI_CD: "1",
      MINIO_SCANNER_SPEED: "fastest",
    },
    // MinIO listens when it is ready, not before.
    probe: async () => {
      await requirePort(ports["main"]);
      return VERSIONS.s3.version.replace(/^v0\.0\.0-(\d{8}).*$/, "$1");
    },
  };
}
