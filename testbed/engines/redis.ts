import { mkdir, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";

import { authorityFile, testbedCertificates } from "../certificates.ts";
import type { Engine } from "../engine.ts";
import { unpackDebianPackages, unpackedLibraries } from "../sources/debian.ts";
import { VERSIONS } from "../versions.ts";

/** Redis with an append-only file, a port with TLS and a user with a password. */
export const redis: Engine = {
  name: "redis",
  pin: VERSIONS.redis,
  ports: { main: 26_379, tls: 26_380 },
  needs: ["apt-get", "dpkg-deb", "openssl"],
  variable: "CUSTODY_TEST_REDIS_URL",
  isProven: true,
  note: "no modules",
  async install(directory) {
    await unpackDebianPackages(directory, ["redis-tools", "libjemalloc2", "liblzf1", "libatomic1"]);
    // In Debian's package the server is a link to this one binary, in a package of its own.
    const bin = join(directory, "root", "usr", "bin");
    await symlink("redis-check-rdb", join(bin, "redis-server"));
  },
  async launch({ home, dist, run, ports }) {
    const certificates = await testbedCertificates(home);
    const file = join(run, "redis.conf");
    await mkdir(join(run, "data"), { recursive: true });
    await writeFile(
      file,
      `bind 127.0.0.1
port ${ports["main"]}
tls-port ${ports["tls"]}
tls-ca-cert-file ${certificates.ca}
tls-cert-file ${certificates.serverCert}
tls-key-file ${certificates.serverKey}
tls-auth-clients optional
dir ${join(run, "data")}
appendonly yes
save ""
maxmemory-policy noeviction
user default on nopass ~* &* +@all
user testbed on >testbed-password ~* &* +@all
user testbed_readonly on >testbed-password ~* &* -@all +@read +@connection
`,
    );
    return {
      program: join(dist, "root", "usr", "bin", "redis-server"),
      args: [file],
      environment: await unpackedLibraries(dist),
      probe: async () => {
        const text = await askRedis(ports["main"] ?? 0, "INFO server");
        return /redis_version:(\S+)/.exec(text)?.[1] ?? notReady(text);
      },
    };
  },
  variables: ({ home, ports }) => ({
    CUSTODY_TEST_REDIS_URL: `redis://127.0.0.1:${ports["main"]}`,
    CUSTODY_TEST_REDIS_TLS_URL: `rediss://testbed:testbed-password@127.0.0.1:${ports["tls"]}?ca=${authorityFile(home)}`,
  }),
};

function notReady(answer: string): never {
  throw new Error(`redis answers ${answer.split("\r\n")[0]}`);
}

async function askRedis(port: number, command: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.setTimeout(2_000, () => socket.destroy(new Error("redis does not answer")));
  socket.setEncoding("utf8").write(`${command}\r\nQUIT\r\n`);
  const texts: string[] = [];
  for await (const text of socket) texts.push(String(text));
  return texts.join("");
}
