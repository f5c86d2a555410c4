import { hash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join, relative, resolve, isAbsolute } from "node:path";

import { CoreError } from "../errors.ts";
import { deriveKey, KEY_BYTES, NONCE_BYTES } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import { createDurably, readIfPresent } from "./durable-file.ts";
import { formatRecoveryKey, parseRecoveryKey, RECOVERY_SECRET_BYTES } from "./recovery-key.ts";
import { parseWrapped, unwrapKey, wrapKey } from "./wrapped-key.ts";
import type { WrappingKey } from "./wrapped-key.ts";

/** The key under which all others of an installation are wrapped. */
export interface RootKey {
  /** The first 16 hex digits of a hash of the key; names it and gives nothing away. */
  readonly id: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

/** Where an installation's root key and data lie. */
export interface RootKeyPlace {
  /** The root key's file; outside the data directory, so that a copy of the data is no copy of the key. */
  readonly keyFile: string;
  /** The data directory; wrapped keys lie in `keys/` below it. */
  readonly directory: string;
}

const VERSION = 1;
const OTHERS = 0o077;

/** The directory of wrapped keys. */
export function keysDirectory(directory: string): string {
  return join(directory, "keys");
}

/**
 * Makes a new root key and answers its recovery key, which must be written down: it is kept nowhere.
 *
 * @param random strong random bytes.
 * @throws CoreError `conflict` when the key file, or keys under another root key, exist already.
 */
export async function createKeyFile(
  place: RootKeyPlace,
  random: (length: number) => Uint8Array,
): Promise<string> {
  checkPlace(place);
  const recoveryPath = recoveryFile(place.directory);
  for (const path of [place.keyFile, recoveryPath])
    if ((await readIfPresent(path)) !== undefined)
      throw new CoreError("conflict", `${path} exists already; a root key is made once`);
  const key = Uint8Array.from(random(KEY_BYTES));
  const secret = Uint8Array.from(random(RECOVERY_SECRET_BYTES));
  const suffix = Buffer.from(random(8)).toString("hex");
  const recovery = wrapKey(recoveryWrapping(secret), ROOT_NAME, key, random(NONCE_BYTES));
  await createOrRefuse(recoveryPath, recovery, suffix);
  await createOrRefuse(place.keyFile, keyFileText(key), suffix);
  return formatRecoveryKey(secret);
}

/**
 * Writes a lost key file anew from the recovery key.
 *
 * @throws CoreError `usage` for a mistyped recovery key, `damaged` when it is not this installation's,
 *   `no-key` without a recovery file, `conflict` when the key file exists.
 */
export async function recoverKeyFile(
  recoveryKey: string,
  place: RootKeyPlace,
  random: (length: number) => Uint8Array,
): Promise<void> {
  checkPlace(place);
  const secret = parseRecoveryKey(recoveryKey);
  const path = recoveryFile(place.directory);
  const text = await readIfPresent(path);
  if (text === undefined) throw new CoreError("no-key", `there is no ${path} to recover from`);
  const wrapped = parseWrapped(ROOT_NAME, text);
  if (wrapped.kind !== "key")
    throw new CoreError("no-key", `the root key in ${path} was destroyed`);
  const key = unwrapKey(recoveryWrapping(secret), ROOT_NAME, wrapped);
  await createOrRefuse(place.keyFile, keyFileText(key), Buffer.from(random(8)).toString("hex"));
}

/**
 * Reads the root key.
 *
 * @throws CoreError `no-key` when there is no file, `usage` when others may read it or it lies in the
 *   data directory, `damaged` when it is not a key file.
 */
export async function readKeyFile(place: RootKeyPlace): Promise<RootKey> {
  checkPlace(place);
  const { keyFile } = place;
  const text = await readIfPresent(keyFile);
  if (text === undefined)
    throw new CoreError(
      "no-key",
      `there is no key file ${keyFile}; create it, or recover it with the recovery key`,
    );
  await checkMode(keyFile);
  return parseKeyFile(keyFile, text);
}

/** The name under which the root key itself is wrapped. */
export const ROOT_NAME = "root";

/** The file of the root key as the recovery key wraps it. */
export function recoveryFile(directory: string): string {
  return join(keysDirectory(directory), "recovery.json");
}

/** The key under which a recovery key's secret wraps the root key. */
export function recoveryWrapping(secret: Uint8Array): WrappingKey {
  const key = deriveKey(secret, new Uint8Array(0), associatedData("custody recovery key v1"));
  return { id: "recovery", key };
}

/**
 * Writes a root key that was known before into its file; the same one there already is left as it is.
 *
 * @throws CoreError `conflict` when the file holds another key.
 */
export async function putKeyFile(
  place: RootKeyPlace,
  root: RootKey,
  random: (length: number) => Uint8Array,
): Promise<void> {
  checkPlace(place);
  const found = await readIfPresent(place.keyFile);
  if (found === undefined) {
    const suffix = Buffer.from(random(8)).toString("hex");
    await createOrRefuse(place.keyFile, keyFileText(root.key), suffix);
  } else if (parseKeyFile(place.keyFile, found).id !== root.id) {
    throw new CoreError("conflict", `${place.keyFile} holds the root key of something else`);
  }
}

async function createOrRefuse(path: string, text: string, suffix: string): Promise<void> {
  const existing = await createDurably([{ path, text }], suffix);
  if (existing.length > 0) throw new CoreError("conflict", `${path} exists already`);
}

function checkPlace({ keyFile, directory }: RootKeyPlace): void {
  const within = relative(resolve(directory), resolve(keyFile));
  if (!within.startsWith("..") && !isAbsolute(within))
    throw new CoreError(
      "usage",
      `the key file ${keyFile} lies in the data directory; keep it elsewhere, so that who copies the data has no key`,
    );
}

async function checkMode(path: string): Promise<void> {
  // Windows has no such modes; access lists guard the file there.
  if (process.platform === "win32") return;
  const { mode } = await stat(path);
  if ((mode & OTHERS) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(3, "0");
  throw new CoreError(
    "usage",
    `the key file ${path} can be read or changed by others (mode ${octal}); run: chmod 600 ${path}`,
  );
}

function keyFileText(key: Uint8Array): string {
  const rootKey = Buffer.from(key).toString("base64url");
  return `${JSON.stringify({ version: VERSION, keyId: rootKeyId(key), rootKey })}\n`;
}

/** A root key with its id. */
export function rootKeyOf(key: Uint8Array): RootKey {
  return { id: rootKeyId(key), key };
}

function rootKeyId(key: Uint8Array): string {
  return hash("sha256", associatedData("custody root key v1", key), "hex").slice(0, 16);
}

function parseKeyFile(path: string, text: string): RootKey {
  const value = parseObject(path, text);
  const encoded = value["rootKey"];
  const key = Uint8Array.from(Buffer.from(typeof encoded === "string" ? encoded : "", "base64url"));
  if (value["version"] !== VERSION || key.byteLength !== KEY_BYTES)
    throw new CoreError("damaged", `${path} is not a key file of version ${VERSION}`);
  const root = rootKeyOf(key);
  if (value["keyId"] !== root.id)
    throw new CoreError("damaged", `${path} was altered: its key is not the one it names`);
  return root;
}

function parseObject(path: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // Falls through: the cause would quote the text, and the text is the key.
  }
  throw new CoreError("damaged", `${path} is not a key file`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
