import { StoreError } from "../errors.ts";
import { firstHost, parseServerUrl } from "./server-settings.ts";
import type { ServerSettings, ServerUrlRules, TlsSettings } from "./server-settings.ts";

/** What the URL of an S3 bucket says. */
export interface S3Settings {
  readonly bucket: string;
  /** What every key begins with: empty, or ending in a slash. */
  readonly prefix: string;
  /** Absent for Amazon's own, which follows from the region. */
  readonly endpoint?: string;
  readonly region: string;
  /** Absent for the library's own chain: environment, profile, web identity, instance. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly isPathStyle: boolean;
  readonly tls?: TlsSettings;
  readonly timeoutMs: number;
  readonly connectMs: number;
  readonly poolMax: number;
  /** True when a bucket that is not there is to be made. */
  readonly isMade: boolean;
  /** True when the bucket has object lock, or is to have it. */
  readonly isLocked: boolean;
  /** Bytes of one part of a large blob. */
  readonly partBytes: number;
  readonly checksum: "crc32" | "md5";
  /** False for servers that know no `If-None-Match` on writing. */
  readonly hasConditionalWrites: boolean;
  readonly encryption?: { readonly kind: "AES256" | "aws:kms"; readonly keyId?: string };
  readonly storageClass?: string;
}

const RULES: ServerUrlRules = {
  product: "S3",
  schemes: { s3: "clear", s3s: "tls" },
  defaultPort: 9_000,
  options: [
    "region",
    "create",
    "object-lock",
    "path-style",
    "part-size",
    "checksum",
    "conditional-writes",
    "sse",
    "sse-kms-key",
    "storage-class",
  ],
};

const AMAZON = /^(?:(.+)\.)?s3(?:[.-]([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?$/;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
// With tenant and key behind it, a key stays below S3's 1,024 bytes.
const PREFIX = /^(?:[A-Za-z0-9._-]{1,100}\/){0,4}$/;
const MIB = 1024 * 1024;

/** Reads the URL of a bucket. @throws StoreError `refused` naming what is wrong. */
export function readS3Settings(url: string): S3Settings {
  const server = parseServerUrl(url, RULES);
  const { options } = server;
  const place = readPlace(server);
  return {
    ...place,
    ...readCredentials(server),
    ...(server.tls === undefined ? {} : { tls: server.tls }),
    timeoutMs: server.timeoutMs,
    connectMs: server.connectMs,
    poolMax: server.poolMax,
    isMade: readChoice(options, "create", ["false", "true"]) === "true",
    isLocked: readChoice(options, "object-lock", ["false", "true"]) === "true",
    partBytes: readPartBytes(options["part-size"]),
    checksum: readChoice(options, "checksum", ["crc32", "md5"]),
    hasConditionalWrites: readChoice(options, "conditional-writes", ["true", "false"]) === "true",
    ...readEncryption(options),
    ...(options["storage-class"] === undefined ? {} : { storageClass: options["storage-class"] }),
  };
}

type Place = Pick<S3Settings, "bucket" | "prefix" | "endpoint" | "region" | "isPathStyle">;

function readPlace(server: ServerSettings): Place {
  const { host, port } = firstHost(server);
  const { options } = server;
  const [, hostBucket, hostRegion] = AMAZON.exec(host) ?? [];
  const isAmazon = AMAZON.test(host);
  const parts = server.path.split("/").filter((part) => part !== "");
  const bucket = hostBucket ?? parts.shift() ?? "";
  if (!BUCKET.test(bucket)) {
    throw wrong(`its path begins with a bucket of 3 to 63 of a-z 0-9 . -, not ${quoted(bucket)}`);
  }
  const prefix = parts.map((part) => `${part}/`).join("");
  if (!PREFIX.test(prefix) || parts.some((part) => part === "." || part === "..")) {
    throw wrong("a prefix is at most four parts of A-Z a-z 0-9 . _ -");
  }
  const scheme = server.tls === undefined ? "http" : "https";
  const name = host.includes(":") ? `[${host}]` : host;
  const isPathStyle =
    readChoice(options, "path-style", isAmazon ? ["false", "true"] : ["true", "false"]) === "true";
  return {
    bucket,
    prefix,
    // Amazon's addresses are its library's to make, and always have TLS.
    ...(isAmazon ? {} : { endpoint: `${scheme}://${name}:${port}` }),
    region: options["region"] ?? hostRegion ?? "us-east-1",
    isPathStyle,
  };
}

function readCredentials({ user, password }: ServerSettings): Pick<S3Settings, "credentials"> {
  if (user === undefined && password === undefined) return {};
  if (user === undefined || password === undefined) {
    throw wrong("an access key and its secret go together, and neither means the default chain");
  }
  return { credentials: { accessKeyId: user, secretAccessKey: password } };
}

type Options = Readonly<Record<string, string>>;

/** One of the words; the first is the default. */
function readChoice<Word extends string>(
  options: Options,
  name: string,
  words: readonly [Word, ...Word[]],
): Word {
  const text = options[name];
  if (text === undefined) return words[0];
  const word = words.find((one) => one === text);
  if (word === undefined) throw wrong(`${name} is one of ${words.join(", ")}`);
  return word;
}

// S3's limits of a part are 5 MiB and 5 GiB (qfacts.html); parts are held in memory, so far fewer here.
function readPartBytes(text = "8"): number {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 5 && Number(text) <= 512) return Number(text) * MIB;
  throw wrong("part-size is a whole number of MiB from 5 to 512");
}

function readEncryption(options: Options): Pick<S3Settings, "encryption"> {
  const kind = readChoice(options, "sse", ["", "AES256", "aws:kms"]);
  const keyId = options["sse-kms-key"];
  if (kind !== "aws:kms" && keyId !== undefined) throw wrong("sse-kms-key needs sse=aws:kms");
  if (kind === "") return {};
  return { encryption: { kind, ...(keyId === undefined ? {} : { keyId }) } };
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of S3 cannot be used: ${what}`);
}
