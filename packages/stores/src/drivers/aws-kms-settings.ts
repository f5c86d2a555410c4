import { StoreError } from "../errors.ts";
import { firstHost, parseServerUrl } from "./server-settings.ts";
import type { ServerSettings, ServerUrlRules, TlsSettings } from "./server-settings.ts";

/** What the URL of a key in AWS KMS says. */
export interface AwsKmsSettings {
  readonly region: string;
  /** As KMS takes it: an id, `alias/NAME`, or an ARN. */
  readonly keyId: string;
  /** Without credentials and options: `aws-kms://eu-central-1/alias/custody`. */
  readonly name: string;
  /** Absent for Amazon's own, which follows from the region. */
  readonly endpoint?: string;
  /** Absent for the library's own chain: environment, profile, web identity, instance. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly tls?: TlsSettings;
  readonly timeoutMs: number;
  readonly connectMs: number;
}

const RULES: ServerUrlRules = {
  product: "AWS KMS",
  schemes: { "aws-kms": "tls" },
  defaultPort: 443,
  options: ["endpoint"],
};

const REGION = /^[a-z]{2}(?:-[a-z]+)+-\d$/;
// docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html, KeyId.
const KEY = /^(?:alias\/[A-Za-z0-9/_-]{1,250}|[A-Za-z0-9-]{1,256}|arn:[a-z-]+:kms:[a-z0-9:/_-]+)$/i;
const ENDPOINT = /^(https?):\/\/[^/@?#]+\/?$/;

/** Reads the URL of a key. @throws StoreError `refused` naming what is wrong. */
export function readAwsKmsSettings(url: string): AwsKmsSettings {
  const server = parseServerUrl(url, RULES);
  const region = readRegion(server);
  const keyId = server.path;
  if (!KEY.test(keyId)) throw wrong("its path is the key: an id, alias/NAME, or an ARN");
  const { endpoint } = server.options;
  return {
    region,
    keyId,
    name: `aws-kms://${region}/${keyId}`,
    ...(endpoint === undefined ? {} : { endpoint: readEndpoint(endpoint) }),
    ...readCredentials(server),
    ...(server.tls === undefined ? {} : { tls: server.tls }),
    timeoutMs: server.timeoutMs,
    connectMs: server.connectMs,
  };
}

function readRegion(server: ServerSettings): string {
  const { host, port } = firstHost(server);
  if (REGION.test(host) && port === RULES.defaultPort) return host;
  throw wrong("its host is a region such as eu-central-1; another address is given as endpoint=");
}

function readEndpoint(endpoint: string): string {
  if (ENDPOINT.test(endpoint)) return endpoint.replace(/\/$/, "");
  throw wrong("endpoint is https://HOST:PORT, without a path and without credentials");
}

function readCredentials({ user, password }: ServerSettings): Pick<AwsKmsSettings, "credentials"> {
  if (user === undefined && password === undefined) return {};
  if (user !== undefined && password !== undefined)
    return { credentials: { accessKeyId: user, secretAccessKey: password } };
  throw wrong("an access key and its secret go together, and neither means the default chain");
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of AWS KMS cannot be used: ${what}`);
}
