import { join } from "node:path";

import type { Engine } from "../engine.ts";
import { installPythonPackages } from "../sources/python.ts";
import { VERSIONS } from "../versions.ts";
import { askHttp } from "./probes.ts";

// Moto's server needs them, and leaves their versions open.
const SERVER = ["flask==3.1.3", "flask-cors==6.0.5"];

/** Moto as AWS KMS: it encrypts for real, with keys that it holds in memory. */
export const kms: Engine = {
  name: "kms",
  pin: VERSIONS.kms,
  ports: { main: 25_600 },
  needs: ["python3", "pip3"],
  variable: "CUSTODY_TEST_KMS_URL",
  isProven: true,
  note: "moto, not AWS: it checks no credentials, and encrypts with disabled keys",
  install: async (directory, version) =>
    await installPythonPackages(directory, [`moto==${version}`, ...SERVER]),
  launch: async ({ dist, ports }) => ({
    program: "python3",
    args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(ports["main"])],
    environment: { PYTHONPATH: join(dist, "packages"), PYTHONDONTWRITEBYTECODE: "1" },
    probe: async () => {
      await askHttp(`http://127.0.0.1:${ports["main"]}/moto-api/`);
      return VERSIONS.kms.version;
    },
  }),
  variables: ({ ports }) => ({
    CUSTODY_TEST_KMS_URL: `aws-kms://testbed:testbed-password@eu-central-1/alias/custody?endpoint=http://127.0.0.1:${ports["main"]}`,
  }),
};
