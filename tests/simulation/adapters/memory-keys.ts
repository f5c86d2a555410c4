import { createHash } from "node:crypto";

import { checkTenant } from "@custody/contract/ids";
import { CoreError } from "@custody/core/errors";
import type { TreeHeadSigner } from "@custody/core/journal/format/tree-head";
import type { KeyOptions, KeyService } from "@custody/core/keys/key-service";
import { ed25519Signer } from "@custody/core/keys/local-key-service";

/** Keys of one world: derived from its seed, and durable as soon as they are asked for. */
export class MemoryKeys implements KeyService {
  readonly #seed: number;
  readonly #made: Set<string>;
  readonly #destroyed: Set<string>;

  /** @param shared the keys that other processes of the world have made. */
  constructor(seed: number, shared?: MemoryKeys) {
    this.#seed = seed;
    this.#made = shared === undefined ? new Set() : shared.#made;
    this.#destroyed = shared === undefined ? new Set() : shared.#destroyed;
  }

  async tenantKey(tenant: string, period: string, options?: KeyOptions): Promise<Uint8Array> {
    return this.#require(`${checkTenant(tenant)}/period/${period}`, options);
  }

  async hashKey(tenant: string): Promise<Uint8Array> {
    return this.#require(`${checkTenant(tenant)}/hash`, { create: true });
  }

  async ownerSalt(): Promise<Uint8Array> {
    return this.#require("owner salt", { create: true });
  }

  async backupKey(): Promise<Uint8Array> {
    return this.#require("backup", { create: true });
  }

  async signer(tenant: string): Promise<TreeHeadSigner> {
    return signerOf(checkTenant(tenant));
  }

  async subjectKey(tenant: string, subject: string, options?: KeyOptions): Promise<Uint8Array> {
    return this.#require(`${checkTenant(tenant)}/subject/${subject}`, options);
  }

  async subjectKeys(
    tenant: string,
    subjects: readonly string[],
    options?: KeyOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    return subjects.map((subject) => this.#find(`${tenant}/subject/${subject}`, options));
  }

  async destroySubjectKey(tenant: string, subject: string): Promise<void> {
    this.#destroyed.add(`${tenant}/subject/${subject}`);
  }

  async isSubjectDestroyed(tenant: string, subject: string): Promise<boolean> {
    return this.#destroyed.has(`${tenant}/subject/${subject}`);
  }

  async isOriginalDestroyed(tenant: string, blobId: string): Promise<boolean> {
    return this.#destroyed.has(`${tenant}/original/${blobId}`);
  }

  async originalKey(tenant: string, blobId: string, options?: KeyOptions): Promise<Uint8Array> {
    return this.#require(`${checkTenant(tenant)}/original/${blobId}`, options);
  }

  async destroyOriginalKey(tenant: string, blobId: string): Promise<void> {
    this.#destroyed.add(`${tenant}/original/${blobId}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #require(name: string, options: KeyOptions | undefined): Uint8Array {
    const key = this.#find(name, options);
    if (key === undefined) throw new CoreError("no-key", `there is no key ${name}`, { at: name });
    return key;
  }

  #find(name: string, options: KeyOptions | undefined): Uint8Array | undefined {
    if (this.#destroyed.has(name)) return undefined;
    if (options?.create === true) this.#made.add(name);
    if (!this.#made.has(name)) return undefined;
    return createHash("sha256").update(`${this.#seed}\0${name}`).digest();
  }
}

// Making one takes as long as a signature does, and there are few tenants in all worlds together.
const signers = new Map<string, TreeHeadSigner>();

function signerOf(tenant: string): TreeHeadSigner {
  const known = signers.get(tenant);
  if (known !== undefined) return known;
  const signer = ed25519Signer(createHash("sha256").update(`signing key of ${tenant}`).digest());
  signers.set(tenant, signer);
  return signer;
}
