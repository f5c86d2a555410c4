import { readFileSync } from "node:fs";

import { StoreError } from "../errors.ts";
import { parseServerUrl } from "./server-settings.ts";
import type { ServerSettings, ServerUrlRules } from "./server-settings.ts";

/** What the URL of an OpenSearch or Elasticsearch cluster says. */
export interface OpensearchSettings {
  readonly server: ServerSettings;
  /** What every index of this installation begins with. */
  readonly prefix: string;
  /** The value of the header `authorization`; absent where basic credentials or none are used. */
  readonly authorization?: string;
  /** Copies of each index besides the first; absent to have one as soon as there is a second node. */
  readonly replicas?: number;
}

const RULES: ServerUrlRules = {
  product: "OpenSearch",
  schemes: {
    opensearch: "clear",
    opensearchs: "tls",
    elasticsearch: "clear",
    elasticsearchs: "tls",
  },
  defaultPort: 9_200,
  options: ["api-key", "api-key-file", "token", "token-file", "replicas"],
};

// With tenant, owner and collection behind it, a name stays below the 255 bytes of an index.
const PREFIX = /^[a-z0-9][a-z0-9_-]{0,39}$/;
const PREFIX_INITIAL = "custody";

/** Reads the URL of a cluster. @throws StoreError `refused` naming what is wrong. */
export function readOpensearchSettings(url: string): OpensearchSettings {
  const server = parseServerUrl(url, RULES);
  const { options } = server;
  const prefix = server.path === "" ? PREFIX_INITIAL : server.path;
  if (!PREFIX.test(prefix)) {
    throw wrong("its path is the prefix of the indices: 1 to 40 of a-z, 0-9, - and _");
  }
  const { replicas } = options;
  if (replicas !== undefined && !/^\d$/.test(replicas)) throw wrong("replicas is 0 to 9");
  const key = secretOf(options, "api-key");
  const token = secretOf(options, "token");
  if ([key, token, server.user].filter((one) => one !== undefined).length > 1) {
    throw wrong("it takes one of user and password, api-key, and token");
  }
  const authorization = key === undefined ? bearer(token) : `ApiKey ${key}`;
  return {
    server,
    prefix,
    ...(authorization === undefined ? {} : { authorization }),
    ...(replicas === undefined ? {} : { replicas: Number(replicas) }),
  };
}

function bearer(token: string | undefined): string | undefined {
  return token === undefined ? undefined : `Bearer ${token}`;
}

/** An option that is a secret, or the file that holds it. */
function secretOf(
  options: Readonly<Record<string, string>>,
  name: "api-key" | "token",
): string | undefined {
  const secret = secretText(options, name);
  // Anything else could end the header and begin another.
  if (secret === undefined || /^[\x21-\x7e]+$/.test(secret)) return secret;
  throw wrong(`${name} is of visible ASCII characters`);
}

function secretText(
  options: Readonly<Record<string, string>>,
  name: "api-key" | "token",
): string | undefined {
  const file = options[`${name}-file`];
  if (file === undefined) return options[name];
  try {
    return readFileSync(file, "utf8").trimEnd();
  } catch (cause) {
    throw new StoreError(
      "refused",
      `the URL of OpenSearch names the file ${file}, which cannot be read`,
      { cause },
    );
  }
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of OpenSearch cannot be used: ${what}`);
}
