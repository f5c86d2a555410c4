import { createHmac, timingSafeEqual } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";
import type { WrappingService } from "@custody/stores/wrapping/port";
import { z } from "zod";

import { CoreError } from "../errors.ts";
import { deriveKey, NONCE_BYTES, SALT_BYTES } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import { unwrapByService } from "./key-service-wrapping.ts";
import type { ServiceWrapping } from "./key-service-wrapping.ts";
import { passphraseKey, SCRYPT } from "./passphrase-key.ts";
import { parseRecoveryKey } from "./recovery-key.ts";
import { recoveryWrapping, ROOT_NAME, rootKeyOf } from "./root-key-file.ts";
import type { RootKey } from "./root-key-file.ts";
import { parseWrapped, unwrapKey, wrapKey } from "./wrapped-key.ts";
import type { WrappingKey } from "./wrapped-key.ts";

/** One way to the root key of a key backup: it is wrapped under a secret that lies elsewhere. */
export type RootWrapping =
  | { readonly kind: "recovery"; readonly wrapped: string }
  | {
      readonly kind: "passphrase";
      readonly wrapped: string;
      /** Base64url. */
      readonly salt: string;
      readonly n: number;
      readonly r: number;
      readonly p: number;
    }
  | ServiceWrapping;

/** What opens a key backup. */
export type KeyBackupSecret =
  | { readonly kind: "recovery"; readonly typed: string }
  | { readonly kind: "passphrase"; readonly passphrase: string }
  /** The caller closes it. */
  | { readonly kind: "key-service"; readonly service: WrappingService }
  /** Where the key file is at hand still. */
  | { readonly kind: "root"; readonly root: RootKey };

/** The head of a key backup: whose it is, and how its root key is reached. */
export interface KeyBackupHead {
  /** Names the backup, 16 hex digits; the keyring remembers it. */
  readonly id: string;
  /** The id of the root key that all of it is under. */
  readonly root: string;
  /** Of several heads the one with the highest number counts. */
  readonly number: number;
  readonly wrappings: readonly RootWrapping[];
}

/** A head as it was read: known to be genuine only once the root key has checked its text. */
export interface ReadHead {
  readonly head: KeyBackupHead;
  readonly text: string;
  readonly mac: string;
}

/** Writes a head with its authentication under the root key. */
export function encodeHead(head: KeyBackupHead, rootKey: Uint8Array): string {
  const { id, root, number, wrappings } = head;
  const signed = { format: FORMAT, id, root, number, wrappings };
  const mac = macOf(canonicalJson(signed), rootKey).toString("hex");
  return `${canonicalJson({ ...signed, mac })}\n`;
}

/** Reads a head without checking who wrote it. @throws CoreError `damaged` when it is none. */
export function decodeHead(text: string): ReadHead {
  const parsed = HEAD.safeParse(parseJson(text));
  if (!parsed.success || `${canonicalJson(parsed.data)}\n` !== text)
    throw new CoreError("damaged", "the head of the key backup was altered, or a newer version's");
  const { mac, id, root, number, wrappings } = parsed.data;
  return { head: { id, root, number, wrappings }, text, mac };
}

/** Whether a head was written by who has the root key, to the last byte. */
export function isGenuineHead({ head, mac }: ReadHead, rootKey: Uint8Array): boolean {
  const { id, root, number, wrappings } = head;
  const expected = macOf(canonicalJson({ format: FORMAT, id, root, number, wrappings }), rootKey);
  const given = Buffer.from(mac, "hex");
  return given.byteLength === expected.byteLength && timingSafeEqual(given, expected);
}

/** Wraps a root key under a passphrase. */
export async function wrapUnderPassphrase(
  passphrase: string,
  rootKey: Uint8Array,
  random: (length: number) => Uint8Array,
): Promise<RootWrapping> {
  const salt = Uint8Array.from(random(SALT_BYTES));
  const wrapping = await passphraseWrapping(passphrase, salt, SCRYPT);
  return {
    kind: "passphrase",
    wrapped: wrapKey(wrapping, ROOT_NAME, rootKey, random(NONCE_BYTES)),
    salt: Buffer.from(salt).toString("base64url"),
    ...SCRYPT,
  };
}

/**
 * The root key of a head, opened with a secret.
 *
 * @throws CoreError `usage` for a mistyped secret or one of a kind that the backup does not know,
 *   `no-key` when it does not open the head, `damaged` when it does and the head was altered;
 *   StoreError `unavailable` when a key service cannot be asked.
 */
export async function openHead(read: ReadHead, secret: KeyBackupSecret): Promise<RootKey> {
  const root = await unwrapRoot(read.head, secret);
  if (root.id !== read.head.root)
    throw new CoreError("no-key", `the key backup is under root key ${read.head.root}`);
  if (!isGenuineHead(read, root.key))
    throw new CoreError("damaged", "the head of the key backup was altered");
  return root;
}

function describeWrapping(wrapping: RootWrapping): string {
  const name = NAMES[wrapping.kind];
  return wrapping.kind === "key-service" ? `${name} ${wrapping.service}` : name;
}

async function unwrapRoot(head: KeyBackupHead, secret: KeyBackupSecret): Promise<RootKey> {
  if (secret.kind === "root") return secret.root;
  const wrapping = head.wrappings.find(({ kind }) => kind === secret.kind);
  if (wrapping === undefined) {
    const kinds = head.wrappings.map(describeWrapping).join(" or ");
    throw new CoreError("usage", `this key backup is opened with ${kinds}`);
  }
  const under = await wrappingKey(wrapping, secret, head.root);
  const wrapped = parseWrapped(ROOT_NAME, wrapping.wrapped);
  if (wrapped.kind === "destroyed") throw new CoreError("no-key", "the root key was destroyed");
  try {
    return rootKeyOf(unwrapKey(under, ROOT_NAME, wrapped));
  } catch (cause) {
    const name = describeWrapping(wrapping);
    throw new CoreError(
      "no-key",
      `${name} does not open this key backup: it is another's, or the backup was altered`,
      { cause },
    );
  }
}

async function wrappingKey(
  wrapping: RootWrapping,
  secret: Exclude<KeyBackupSecret, { readonly kind: "root" }>,
  rootId: string,
): Promise<WrappingKey> {
  if (secret.kind === "recovery") return recoveryWrapping(parseRecoveryKey(secret.typed));
  if (secret.kind === "key-service" && wrapping.kind === "key-service")
    return unwrapByService(wrapping, secret.service, rootId);
  if (secret.kind !== "passphrase" || wrapping.kind !== "passphrase")
    throw new CoreError("usage", `this key backup is not opened with a ${secret.kind}`);
  const salt = Buffer.from(wrapping.salt, "base64url");
  return passphraseWrapping(secret.passphrase, salt, wrapping);
}

const FORMAT = 1;

const NAMES: Readonly<Record<RootWrapping["kind"], string>> = {
  recovery: "the recovery key",
  passphrase: "the passphrase",
  "key-service": "the key service",
};

const HEAD = z.strictObject({
  format: z.literal(FORMAT),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  root: z.string().regex(/^[0-9a-f]{16}$/),
  number: z.int().positive(),
  wrappings: z
    .array(
      z.discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("recovery"), wrapped: z.string() }),
        z.strictObject({
          kind: z.literal("passphrase"),
          wrapped: z.string(),
          salt: z.string(),
          n: z.int(),
          r: z.int(),
          p: z.int(),
        }),
        z.strictObject({
          kind: z.literal("key-service"),
          wrapped: z.string(),
          key: z.string(),
          service: z.string(),
        }),
      ]),
    )
    .min(1),
  // Lower case alone: in hexadecimal a changed bit may leave the value as it was.
  mac: z.string().regex(/^[0-9a-f]{64}$/),
});

async function passphraseWrapping(
  passphrase: string,
  salt: Uint8Array,
  parameters: { readonly n: number; readonly r: number; readonly p: number },
): Promise<WrappingKey> {
  const derived = await passphraseKey(passphrase, salt, parameters);
  const key = deriveKey(derived, new Uint8Array(0), associatedData("custody passphrase key v1"));
  return { id: "passphrase", key };
}

function macOf(text: string, rootKey: Uint8Array): Buffer {
  const use = associatedData("custody key backup head v1");
  const key = deriveKey(rootKey, new Uint8Array(0), use);
  return createHmac("sha256", key).update(text).digest();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
