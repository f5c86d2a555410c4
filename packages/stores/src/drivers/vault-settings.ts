import { StoreError } from "../errors.ts";
import { firstHost, parseServerUrl } from "./server-settings.ts";
import type { ServerUrlRules, TlsSettings } from "./server-settings.ts";

/** What the URL of a key in the transit engine of Vault or OpenBao says. */
export interface VaultSettings {
  readonly host: string;
  readonly port: number;
  /** Where the transit engine is mounted: `transit`, `teams/security/transit`. */
  readonly mount: string;
  readonly key: string;
  /** Without credentials and options: `vault://vault:8200/transit/custody`. */
  readonly name: string;
  readonly token: string;
  readonly namespace?: string;
  /** Absent for clear text. */
  readonly tls?: TlsSettings;
  readonly timeoutMs: number;
  readonly connectMs: number;
}

const RULES: ServerUrlRules = {
  product: "Vault",
  // A token and the key pass over the connection: clear text is only what `tls=false` asks for.
  schemes: { vault: "tls", openbao: "tls" },
  defaultPort: 8_200,
  options: ["namespace"],
};

const PART = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const NAMESPACE = /^[A-Za-z0-9._/-]{1,256}$/;
// A header takes no more (RFC 9110, section 5.5), and a message with a line end in it would be another.
const TOKEN = /^[\u0021-\u007e]{1,4096}$/;

/**
 * Reads the URL of a key. Where it has no token, `VAULT_TOKEN` or `BAO_TOKEN` is taken, and
 * `VAULT_NAMESPACE` or `BAO_NAMESPACE` likewise.
 *
 * @throws StoreError `refused` naming what is wrong.
 */
export function readVaultSettings(
  url: string,
  environment: Readonly<Record<string, string | undefined>>,
): VaultSettings {
  const server = parseServerUrl(url, RULES);
  const { host, port } = firstHost(server);
  const parts = server.path.split("/");
  const key = parts.at(-1) ?? "";
  if (parts.length < 2 || !parts.every((part) => PART.test(part)))
    throw wrong("its path is where the transit engine is mounted and the key: /transit/custody");
  if (server.user !== undefined) throw wrong("it takes a token and no user: vault://:TOKEN@HOST/…");
  const given = (name: string): string | undefined =>
    environment[`VAULT_${name}`] || environment[`BAO_${name}`] || undefined;
  const token = server.password ?? given("TOKEN");
  if (token === undefined)
    throw wrong("it has no token: set VAULT_TOKEN, or password-file= to a file that holds it");
  if (!TOKEN.test(token)) throw wrong("its token has characters that no token has");
  const namespace = server.options["namespace"] ?? given("NAMESPACE");
  if (namespace !== undefined && !NAMESPACE.test(namespace))
    throw wrong("namespace is one such as admin/security");
  const bracketed = host.includes(":") ? `[${host}]` : host;
  return {
    host,
    port,
    mount: parts.slice(0, -1).join("/"),
    key,
    name: `${server.scheme}://${bracketed}:${port}/${parts.join("/")}`,
    token,
    ...(namespace === undefined ? {} : { namespace }),
    ...(server.tls === undefined ? {} : { tls: server.tls }),
    timeoutMs: server.timeoutMs,
    connectMs: server.connectMs,
  };
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of Vault cannot be used: ${what}`);
}
