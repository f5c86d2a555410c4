import type { AuthToken, ClientCertificateProvider, Config } from "neo4j-driver";

import { StoreError } from "../errors.ts";
import { parseServerUrl } from "./server-settings.ts";
import type { ServerHost, ServerSettings } from "./server-settings.ts";

/** What a Neo4j URL says, in the driver's own words. */
export interface Neo4jSettings {
  readonly server: ServerSettings;
  /** The installation that shares the database with others; the URL's path. */
  readonly installation: string;
  /** The database; the user's home database when left out. */
  readonly database: string | undefined;
  /** Where the driver connects: `bolt://host:port`. */
  readonly address: string;
  /** Every host as `host:port`, for a cluster's first contact. */
  readonly hosts: readonly string[];
  readonly auth: AuthToken | undefined;
  readonly tls: Pick<Config, "encrypted" | "trust" | "trustedCertificates" | "clientCertificate">;
}

const DEFAULT_PORT = 7687;
const INSTALLATION_DEFAULT = "custody";
// One call may need two connections: one that writes and one that tells readers to wait.
const POOL_MIN = 2;

/**
 * Reads `neo4j://user:password@host:7687/installation?database=evidence`.
 *
 * @throws StoreError `refused` naming what is wrong.
 */
export function parseNeo4jUrl(url: string): Neo4jSettings {
  const server = parseServerUrl(url, {
    product: "Neo4j",
    schemes: {
      bolt: "clear",
      "bolt+s": "tls",
      neo4j: "clear",
      "neo4j+s": "tls",
    },
    defaultPort: DEFAULT_PORT,
    options: ["database", "auth"],
  });
  const { scheme, hosts, path, poolMax } = server;
  const hostTexts = hosts.map(hostText);
  if (scheme.startsWith("bolt") && hosts.length > 1) {
    throw wrong("bolt is one server; a cluster is reached with neo4j://");
  }
  if (!/^[\w.-]{0,63}$/.test(path)) {
    throw wrong("its path is the installation's name: 1 to 63 of A-Z a-z 0-9 _ . -");
  }
  return {
    server: { ...server, poolMax: Math.max(POOL_MIN, poolMax) },
    installation: path === "" ? INSTALLATION_DEFAULT : path,
    database: server.options["database"],
    address: `${scheme.replace("+s", "")}://${hostTexts[0] ?? ""}`,
    hosts: hostTexts,
    auth: readAuth(server),
    tls: readTls(url, server),
  };
}

function hostText({ host, port }: ServerHost): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function readAuth({ user, password, options }: ServerSettings): AuthToken | undefined {
  const { auth = user === undefined ? "none" : "basic" } = options;
  switch (auth) {
    case "none":
      return undefined;
    case "basic":
      if (user === undefined) throw wrong("auth=basic needs a user and a password");
      return { scheme: "basic", principal: user, credentials: password ?? "" };
    case "bearer":
      if (password === undefined) throw wrong("auth=bearer needs the token as its password");
      return { scheme: "bearer", credentials: password };
    default:
      throw wrong("auth is basic, bearer or none");
  }
}

// The driver reads certificates itself, from files, at each connection: renewed ones are found.
function readTls(url: string, { tls }: ServerSettings): Neo4jSettings["tls"] {
  if (tls === undefined) return { encrypted: false };
  const options = new URLSearchParams(/\?([^#]*)/.exec(url)?.[1] ?? "");
  const [ca, cert, key] = ["ca", "cert", "key"].map((name) => options.get(name));
  return {
    encrypted: true,
    ...(cert && key ? { clientCertificate: certificateOf(cert, key) } : {}),
    ...(ca
      ? { trust: "TRUST_CUSTOM_CA_SIGNED_CERTIFICATES", trustedCertificates: [ca] }
      : { trust: "TRUST_SYSTEM_CA_SIGNED_CERTIFICATES" }),
    ...(tls.isVerified ? {} : { trust: "TRUST_ALL_CERTIFICATES" }),
  };
}

// Where TLS is asked for in the configuration the driver (6.3) takes only a provider, not files.
function certificateOf(certfile: string, keyfile: string): ClientCertificateProvider {
  return { hasUpdate: () => true, getClientCertificate: () => ({ certfile, keyfile }) };
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of Neo4j cannot be used: ${what}`);
}
