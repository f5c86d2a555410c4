import { readFileSync } from "node:fs";

import { StoreError } from "../errors.ts";

/** What a URL says about a server; every engine that is a server is configured by one. */
export interface ServerSettings {
  /** Without the colon: `postgresql`. */
  readonly scheme: string;
  /** At least one; several for clusters. */
  readonly hosts: readonly ServerHost[];
  readonly user?: string;
  readonly password?: string;
  /** What follows the first slash, decoded: a database, a bucket with a prefix. Empty when there is none. */
  readonly path: string;
  /** Absent for a connection in clear text. */
  readonly tls?: TlsSettings;
  /** Milliseconds that one call may take; `timeout` in the URL, default 30,000. */
  readonly timeoutMs: number;
  /** Milliseconds to open a connection; `connect-timeout` in the URL, default 10,000. */
  readonly connectMs: number;
  /** Connections kept at most; `pool` in the URL, default 8. */
  readonly poolMax: number;
  /** Further options, which the engine's product knows. */
  readonly options: Readonly<Record<string, string>>;
}

export interface ServerHost {
  readonly host: string;
  readonly port: number;
}

/** Certificates as PEM texts. */
export interface TlsSettings {
  /** The authority to trust in place of the system's: `ca=FILE`. */
  readonly ca?: string;
  /** The client's own certificate and key, where the server asks for them: `cert=FILE&key=FILE`. */
  readonly cert?: string;
  readonly key?: string;
  /** False only with `verify=false`: for trials, as anyone may then be the server. */
  readonly isVerified: boolean;
}

/** What a product's URLs look like. */
export interface ServerUrlRules {
  /** The product's name, for messages. */
  readonly product: string;
  /** Schemes, each with whether it means TLS. */
  readonly schemes: Readonly<Record<string, "clear" | "tls">>;
  readonly defaultPort: number;
  /** Options that the product knows besides those of every server. */
  readonly options?: readonly string[];
}

const URL_FORM =
  /^([a-z][a-z0-9+.-]*):\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i;
const HOST_FORM = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/;
const SHARED_OPTIONS = [
  "tls",
  "ca",
  "cert",
  "key",
  "verify",
  "timeout",
  "connect-timeout",
  "pool",
  "user-file",
  "password-file",
];

/**
 * Reads a server's URL: `scheme://user:password@host:port,host:port/path?option=value`.
 *
 * Every server knows `tls`, `ca`, `cert`, `key`, `verify`, `timeout`, `connect-timeout`, `pool`, and
 * `user-file` and `password-file`, which read a secret from a file, as Kubernetes mounts them.
 *
 * @throws StoreError `refused` naming what is wrong; never repeats the password.
 */
export function parseServerUrl(url: string, rules: ServerUrlRules): ServerSettings {
  const match = URL_FORM.exec(url);
  if (match === null) throw wrong(rules, "it is not of the form scheme://host:port/path?options");
  const [, schemeText = "", credentials = "", hostsText = "", path = "", query = ""] = match;
  const scheme = schemeText.toLowerCase();
  const security = rules.schemes[scheme];
  if (security === undefined) {
    throw wrong(rules, `its scheme is one of ${Object.keys(rules.schemes).join(", ")}`);
  }
  const options = readOptions(query, rules);
  const [user, password] = credentials.split(/:(.*)/s, 2).map((part) => decode(part, rules));
  const tls = readTls(security, options, rules);
  const { "user-file": userFile, "password-file": passwordFile } = options;
  const userName = userFile === undefined ? user : readSecret(userFile, rules);
  const secret = passwordFile === undefined ? password : readSecret(passwordFile, rules);
  return {
    scheme,
    hosts: hostsText.split(",").map((text) => readHost(text, rules)),
    ...(userName === undefined || userName === "" ? {} : { user: userName }),
    ...(secret === undefined ? {} : { password: secret }),
    path: decode(path, rules),
    ...(tls === undefined ? {} : { tls }),
    timeoutMs: readNumber(options, { name: "timeout", initial: 30_000, rules }),
    connectMs: readNumber(options, { name: "connect-timeout", initial: 10_000, rules }),
    poolMax: readNumber(options, { name: "pool", initial: 8, rules }),
    options: Object.fromEntries(
      Object.entries(options).filter(([name]) => !SHARED_OPTIONS.includes(name)),
    ),
  };
}

/** Names a server for people, without its secrets: `postgresql://db:5432/custody`. */
export function describeServer({ scheme, hosts, path }: ServerSettings): string {
  const names = hosts.map(({ host, port }) => `${host}:${port}`).join(",");
  return `${scheme}://${names}${path === "" ? "" : `/${path}`}`;
}

/** The first host; for products that know one address. */
export function firstHost({ hosts }: ServerSettings): ServerHost {
  const [host] = hosts;
  if (host === undefined) throw new StoreError("refused", "a server URL names no host");
  return host;
}

function wrong({ product }: ServerUrlRules, what: string): StoreError {
  return new StoreError("refused", `the URL of ${product} cannot be used: ${what}`);
}

function decode(text: string, rules: ServerUrlRules): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong(rules, "a % in it does not begin an escape such as %40");
  }
}

function readHost(text: string, rules: ServerUrlRules): ServerHost {
  const [, host, port = String(rules.defaultPort)] = HOST_FORM.exec(text) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw wrong(rules, `${JSON.stringify(text)} is not a host with a port`);
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

function readOptions(query: string, rules: ServerUrlRules): Readonly<Record<string, string>> {
  const known = [...SHARED_OPTIONS, ...(rules.options ?? [])];
  const options: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (!known.includes(name)) {
      throw wrong(rules, `it has no option ${JSON.stringify(name)}; there are ${known.join(", ")}`);
    }
    options[name] = value;
  }
  return options;
}

function readTls(
  security: "clear" | "tls",
  options: Readonly<Record<string, string>>,
  rules: ServerUrlRules,
): TlsSettings | undefined {
  const { tls = security === "tls" ? "true" : "false", ca, cert, key, verify = "true" } = options;
  const isAsked = ca !== undefined || cert !== undefined || key !== undefined;
  if (tls !== "true" && isAsked) throw wrong(rules, "ca, cert and key need tls=true");
  if (tls !== "true") return undefined;
  if ((cert === undefined) !== (key === undefined)) throw wrong(rules, "cert and key go together");
  return {
    ...(ca === undefined ? {} : { ca: readSecret(ca, rules) }),
    ...(cert === undefined ? {} : { cert: readSecret(cert, rules) }),
    ...(key === undefined ? {} : { key: readSecret(key, rules) }),
    isVerified: verify !== "false",
  };
}

function readSecret(path: string, rules: ServerUrlRules): string {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch (cause) {
    throw new StoreError(
      "refused",
      `the URL of ${rules.product} names the file ${path}, which cannot be read`,
      { cause },
    );
  }
}

function readNumber(
  options: Readonly<Record<string, string>>,
  of: { readonly name: string; readonly initial: number; readonly rules: ServerUrlRules },
): number {
  const text = options[of.name];
  if (text === undefined) return of.initial;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw wrong(of.rules, `${of.name} is a whole number from 1`);
}
