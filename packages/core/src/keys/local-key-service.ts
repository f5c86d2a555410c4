import { createHmac, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { join } from "node:path";

import { checkTenant, SYSTEM_TENANT } from "@custody/contract/ids";

import { CoreError } from "../errors.ts";
import { deriveKey, KEY_BYTES } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";
import { keyIdOf } from "../journal/format/tree-head.ts";
import type { TreeHeadSigner } from "../journal/format/tree-head.ts";
import { LocalKeyBackup } from "./key-backup.ts";
import type { KeyBackupOptions } from "./key-backup.ts";
import type { KeyOptions, KeyService } from "./key-service.ts";
import { Keyring } from "./keyring.ts";
import { keysDirectory, readKeyFile } from "./root-key-file.ts";
import type { RootKeyPlace } from "./root-key-file.ts";

/** How the local key service is opened. */
export interface LocalKeyServiceOptions extends RootKeyPlace {
  /** Strong random bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Opened keys kept in memory at most, about 250 bytes each; default 10,000. */
  readonly cachedKeysMax?: number;
  /** How the key backup is reached; without it keys that have one cannot be destroyed. */
  readonly backup?: KeyBackupOptions;
}

/** A key service on this machine. */
export interface LocalKeys extends KeyService {
  readonly backup: LocalKeyBackup;
}

/**
 * Opens the keys of an installation on this machine: small files below `<directory>/keys`, each key
 * wrapped under the root key and synced before it is answered.
 *
 * @throws CoreError `no-key` without the root key or with another one than the keys were made under,
 *   `usage` when others may read the root key's file.
 */
export async function openLocalKeyService(options: LocalKeyServiceOptions): Promise<LocalKeys> {
  const { directory, random, cachedKeysMax = 10_000 } = options;
  const root = await readKeyFile(options);
  const derive = (use: string): Uint8Array =>
    deriveKey(root.key, new Uint8Array(0), associatedData(use));
  const wrapping = { id: root.id, key: derive("custody wrapping key v1") };
  const keyring = new Keyring({
    directory: keysDirectory(directory),
    wrapping,
    random,
    cachedKeysMax,
  });
  await keyring.claim();
  const backup = new LocalKeyBackup({
    directory,
    root,
    wrapping,
    random,
    destroyHere: (name) => keyring.destroy(name),
    options: options.backup,
  });
  return new LocalKeyService(keyring, derive("custody key names v1"), backup);
}

const PERIOD = /^\d{4}-(?:0[1-9]|1[0-2])$/;
const CREATE: KeyOptions = { create: true };
const SIGNERS_MAX = 1_000;

// RFC 8410 §7: PKCS #8 of an Ed25519 private key is this and the 32-byte seed.
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

class LocalKeyService implements LocalKeys {
  readonly backup: LocalKeyBackup;
  readonly #keyring: Keyring;
  readonly #nameKey: Uint8Array;
  readonly #signers = new Map<string, TreeHeadSigner>();

  constructor(keyring: Keyring, nameKey: Uint8Array, backup: LocalKeyBackup) {
    this.backup = backup;
    this.#keyring = keyring;
    this.#nameKey = nameKey;
  }

  async tenantKey(tenant: string, period: string, options?: KeyOptions): Promise<Uint8Array> {
    if (!PERIOD.test(period))
      throw new CoreError("usage", `a key period is YYYY-MM, not ${period}`);
    return await this.#require(join(checkTenant(tenant), `period-${period}`), options);
  }

  async hashKey(tenant: string): Promise<Uint8Array> {
    return await this.#require(join(checkTenant(tenant), "hash"), CREATE);
  }

  /** Of the key of `_system`, not of the root key: changing the root key must not rename files. */
  async ownerSalt(): Promise<Uint8Array> {
    const hashKey = await this.hashKey(SYSTEM_TENANT);
    return deriveKey(hashKey, new Uint8Array(0), associatedData("custody owner files v1"));
  }

  async backupKey(): Promise<Uint8Array> {
    return await this.#require(join(SYSTEM_TENANT, "backup"), CREATE);
  }

  async signer(tenant: string): Promise<TreeHeadSigner> {
    const known = this.#signers.get(tenant);
    if (known !== undefined) return known;
    const seed = await this.#require(join(checkTenant(tenant), "signing"), CREATE);
    const signer = ed25519Signer(seed);
    if (this.#signers.size >= SIGNERS_MAX) this.#signers.clear();
    this.#signers.set(tenant, signer);
    return signer;
  }

  async subjectKey(tenant: string, subject: string, options?: KeyOptions): Promise<Uint8Array> {
    return await this.#require(this.#secretName(tenant, "subjects", subject), options);
  }

  async subjectKeys(
    tenant: string,
    subjects: readonly string[],
    options?: KeyOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    const names = subjects.map((subject) => this.#secretName(tenant, "subjects", subject));
    const keys = await this.#keyring.keys(names, options?.create === true);
    return keys.map((key) => (key === "destroyed" ? undefined : key));
  }

  async destroySubjectKey(tenant: string, subject: string): Promise<void> {
    await this.#destroy(this.#secretName(tenant, "subjects", subject));
  }

  isSubjectDestroyed(tenant: string, subject: string): Promise<boolean> {
    return this.#isDestroyed(this.#secretName(tenant, "subjects", subject));
  }

  async originalKey(tenant: string, blobId: string, options?: KeyOptions): Promise<Uint8Array> {
    return await this.#require(this.#secretName(tenant, "originals", blobId), options);
  }

  async destroyOriginalKey(tenant: string, blobId: string): Promise<void> {
    await this.#destroy(this.#secretName(tenant, "originals", blobId));
  }

  isOriginalDestroyed(tenant: string, blobId: string): Promise<boolean> {
    return this.#isDestroyed(this.#secretName(tenant, "originals", blobId));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signers.clear();
    this.#keyring.forget();
    await this.backup[Symbol.asyncDispose]();
  }

  /**
   * Here first: a key backup that is away must not keep data readable here, and what is destroyed here
   * is destroyed there by the next sync even when nobody asks again. The other way round a crash would
   * leave the key here, and nothing would ever look for it.
   */
  async #destroy(name: string): Promise<void> {
    await this.#keyring.destroy(name);
    await this.backup.forget([name]);
  }

  async #isDestroyed(name: string): Promise<boolean> {
    const [key] = await this.#keyring.keys([name], false);
    return key === "destroyed";
  }

  async #require(name: string, options: KeyOptions | undefined): Promise<Uint8Array> {
    const [key] = await this.#keyring.keys([name], options?.create === true);
    if (key === undefined) throw new CoreError("no-key", `there is no key ${name}`, { at: name });
    if (key === "destroyed")
      throw new CoreError("no-key", `the key ${name} was destroyed`, { at: name });
    return key;
  }

  /** Names of people and files are hashed, so that a listing of the directory tells nobody. */
  #secretName(tenant: string, kind: "subjects" | "originals", value: string): string {
    const text = associatedData(checkTenant(tenant), kind, value);
    return join(tenant, kind, createHmac("sha256", this.#nameKey).update(text).digest("hex"));
  }
}

/** Makes a signer of an Ed25519 seed of 32 bytes. */
export function ed25519Signer(seed: Uint8Array): TreeHeadSigner {
  if (seed.byteLength !== KEY_BYTES) throw new CoreError("usage", "an Ed25519 seed has 32 bytes");
  const der = Buffer.concat([PKCS8_ED25519, seed]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  return {
    keyId: keyIdOf(publicKey),
    publicKey,
    sign: async (bytes) => sign(null, bytes, key),
  };
}
