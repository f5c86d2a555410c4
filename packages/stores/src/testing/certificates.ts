import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Whether certificates can be made; without the tool tests of TLS are skipped by name. */
export const hasOpenssl: boolean = spawnSync("openssl", ["version"]).status === 0;

/**
 * Makes an authority (`ca.pem`) with a certificate for 127.0.0.1 (`server.pem`, `server.key`) and one for a
 * client (`client.pem`, `client.key`); answers where the file of a name is.
 */
export function makeCertificates(directory: string): (name: string) => string {
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
