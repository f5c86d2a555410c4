import type { BlobStore } from "@custody/stores/blob/port";
import type { WrappingService } from "@custody/stores/wrapping/port";

import { CoreError } from "../errors.ts";
import { readIfPresent } from "./durable-file.ts";
import { encodeHead, isGenuineHead, openHead } from "./key-backup-head.ts";
import type { ReadHead, RootWrapping } from "./key-backup-head.ts";
import { arePacksCurrent, syncPacks } from "./key-backup-packs.ts";
import type { KeyCopies, SeenGroup } from "./key-backup-packs.ts";
import { checkKeyPlace, KeyPacks, listPacks, readHeads, replaceHeads } from "./key-backup-place.ts";
import { keyBackupRecord, readKeyBackupRecord, writeKeyBackupRecord } from "./key-backup-record.ts";
import type { KeyBackupRecord } from "./key-backup-record.ts";
import { verifyPacks, withFault } from "./key-backup-verify.ts";
import { nextWrappings, serviceWrapping } from "./key-backup-wrappings.ts";
import type { KeyBackupCheck } from "./key-backup-verify.ts";
import { keyGroup, packSealing } from "./key-pack.ts";
import type { KeyBackup, KeyBackupReport } from "./key-service.ts";
import { listKeyNames } from "./keyring-files.ts";
import { keysDirectory, recoveryFile } from "./root-key-file.ts";
import type { RootKey } from "./root-key-file.ts";
import type { WrappingKey } from "./wrapped-key.ts";

/** How the local key service reaches its key backup. */
export interface KeyBackupOptions {
  /** Where it is; default where it was when it was made. */
  readonly url?: string;
  /** Opens a place by its URL; it is closed with the key service. */
  readonly open: (url: string) => Promise<BlobStore>;
  /** A place's URL as it may be kept and shown: without credentials. Default as it is. */
  readonly shown?: (url: string) => string;
  /**
   * Opens the key service under which the root key is to be wrapped as well; it is closed with these
   * keys. Without it a wrapping by one stays as it is.
   */
  readonly openKeyService?: () => Promise<WrappingService>;
  /** Epoch milliseconds. */
  readonly clock: () => number;
}

/** How a key backup is brought up to date. */
export interface SyncKeysOptions {
  /** Wraps the root key under this passphrase too, in place of an earlier one. */
  readonly passphrase?: string;
  /** `anew` asks the key service also where it has wrapped the root key already; `none` gives it up. */
  readonly keyService?: "anew" | "none";
  /** Reads every pack, and writes those anew that were damaged. */
  readonly isFull?: boolean;
  /** Takes this place for the one that is remembered; what lies there is no longer looked after. */
  readonly isReplacing?: boolean;
}

/** What is known of keys and of their backup without opening any. */
export interface KeysStatus {
  /** The root key's id. */
  readonly rootKey: string;
  /** Keys here, destroyed ones among them. */
  readonly keys: number;
  /** Absent when none was ever made. */
  readonly backup?: KeyBackupRecord & {
    /** What opens it. */
    readonly wrappings: readonly RootWrapping["kind"][];
    /** The name of the key service's key, where one opens it. */
    readonly keyService?: string;
    /** False when keys were made or destroyed since, or another key service is configured. */
    readonly isCurrent: boolean;
  };
}

/** What a local key backup is made of. */
export interface KeyBackupParts {
  readonly directory: string;
  readonly root: RootKey;
  readonly wrapping: WrappingKey;
  readonly random: (length: number) => Uint8Array;
  /** Destroys a key here which the backup says was destroyed. */
  readonly destroyHere: (name: string) => Promise<void>;
  readonly options: KeyBackupOptions | undefined;
}

/** The copy of a local keyring in a place elsewhere. Its methods run one after the other. */
export class LocalKeyBackup implements KeyBackup, AsyncDisposable {
  readonly #parts: KeyBackupParts;
  readonly #keys: string;
  #place: Promise<OpenPlace> | undefined;
  #service: Promise<WrappingService> | undefined;
  readonly #seen = new Map<string, SeenGroup>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: KeyBackupParts) {
    this.#parts = parts;
    this.#keys = keysDirectory(parts.directory);
  }

  async require(): Promise<void> {
    await this.#inTurn(() => this.#required());
  }

  sync(options: SyncKeysOptions = {}): Promise<KeyBackupReport> {
    return this.#inTurn(() => this.#sync(options));
  }

  /**
   * Compares every key there with the one here, and has the key service open it, where there is one.
   *
   * @throws CoreError `usage` when there is no key backup, StoreError `unavailable`.
   */
  verify(): Promise<KeyBackupCheck> {
    return this.#inTurn(async () => {
      const { store, newest } = await this.#required();
      const check = await verifyPacks(await this.#copies(store));
      const service = await this.#keyService();
      const name = serviceWrapping(newest.head)?.service;
      if (service === undefined)
        return name === undefined ? check : { ...check, keyService: { name, isChecked: false } };
      const told = { ...check, keyService: { name: service.name, isChecked: true } };
      const isOpened = await isOpenedBy(newest, service);
      return isOpened ? told : withFault(told, { at: service.name, kind: "not-opened-by-service" });
    });
  }

  /** @throws CoreError `usage` when the backup is not where it was made. */
  status(): Promise<KeysStatus> {
    return this.#inTurn(async () => {
      const names = await listKeyNames(this.#keys);
      const keys = names.values().reduce((sum, group) => sum + group.length, 0);
      const status = { rootKey: this.#parts.root.id, keys };
      if ((await readKeyBackupRecord(this.#keys)) === undefined) return status;
      const { record, newest, store } = await this.#required();
      const wrappings = newest.head.wrappings.map(({ kind }) => kind);
      const keyService = serviceWrapping(newest.head)?.service;
      const named = keyService === undefined ? {} : { keyService };
      const wanted = (await this.#keyService())?.name ?? keyService;
      const isCurrent = wanted === keyService && (await arePacksCurrent(await this.#copies(store)));
      return { ...status, backup: { ...record, wrappings, ...named, isCurrent } };
    });
  }

  /**
   * Leaves no copy of keys that were destroyed here, where there is a key backup.
   *
   * @throws CoreError `usage`, StoreError when it cannot be reached: copies are still there.
   */
  forget(names: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      const groups = Map.groupBy(names, keyGroup);
      for (const group of groups.keys()) this.#seen.delete(group);
      const record = await readKeyBackupRecord(this.#keys);
      if (record === undefined) return;
      const { store } = await this.#open(this.#urlOf(record));
      const heads = await this.#ownHeads(store);
      // A first backup that never ended has no head, and packs all the same.
      if (heads.length > 0 || record.syncedAt !== undefined) this.#checkSame(record, heads);
      const packs = this.#packs(store);
      for (const [group, inGroup] of groups) await packs.destroy(group, inGroup);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    await (await this.#place?.catch(() => undefined))?.store[Symbol.asyncDispose]();
    this.#place = undefined;
    await (await this.#service?.catch(() => undefined))?.[Symbol.asyncDispose]();
    this.#service = undefined;
  }

  async #sync(options: SyncKeysOptions): Promise<KeyBackupReport> {
    const { clock } = this.#options();
    const record = await readKeyBackupRecord(this.#keys);
    const { store, url, shown } = await this.#open(this.#urlOf(record));
    await checkKeyPlace(store);
    const heads = await this.#ownHeads(store);
    const id = this.#idFor(options, { record, heads, url: shown });
    const began = keyBackupRecord(id, url, shown);
    if (record?.id !== id || record.url !== shown) await writeKeyBackupRecord(this.#keys, began);
    const { isFull = false } = options;
    const { destroyHere } = this.#parts;
    const report = await syncPacks(await this.#copies(store), {
      isFull,
      seen: this.#seen,
      destroyHere,
    });
    // Last: what has no head is no key backup, so that a part of one is never taken for the whole.
    await this.#syncHead(store, { id, heads }, options);
    await writeKeyBackupRecord(this.#keys, { ...began, syncedAt: clock() });
    return report;
  }

  /** The id of the backup to be written; a place that is not the remembered one is taken only when told to. */
  #idFor(
    { isReplacing = false }: SyncKeysOptions,
    at: {
      readonly record: KeyBackupRecord | undefined;
      readonly heads: readonly ReadHead[];
      readonly url: string;
    },
  ): string {
    const { record, heads, url } = at;
    const found = heads[0]?.head.id;
    if (record === undefined || isReplacing) return found ?? this.#newId();
    const isBegun = record.syncedAt === undefined && record.url === url;
    if (found === undefined && isBegun) return record.id;
    this.#checkSame(record, heads);
    return record.id;
  }

  async #syncHead(
    store: BlobStore,
    { id, heads }: { readonly id: string; readonly heads: readonly PlacedHead[] },
    { passphrase, keyService }: SyncKeysOptions,
  ): Promise<void> {
    const { root, random, directory } = this.#parts;
    const [newest] = heads;
    const recovery = await readIfPresent(recoveryFile(directory));
    const service = keyService === "none" ? undefined : await this.#keyService();
    const wrappings = await nextWrappings(newest?.head.wrappings ?? [], {
      root,
      random,
      recovery,
      passphrase,
      service,
      keyService,
    });
    const number = newest?.head.number ?? 0;
    const isSame = newest?.text === encodeHead({ id, root: root.id, number, wrappings }, root.key);
    if (isSame && heads.length === 1) return;
    const next = isSame ? number : number + 1;
    const text = encodeHead({ id, root: root.id, number: next, wrappings }, root.key);
    await replaceHeads(store, text, next, heads);
  }

  /** The key backup that is remembered, with its newest head. */
  async #required() {
    const record = await readKeyBackupRecord(this.#keys);
    if (record?.syncedAt === undefined)
      throw new CoreError(
        "usage",
        "there is no backup of the keys yet, and data that is backed up is worth nothing without them; make one with `custody keys backup --to PLACE`",
      );
    const { store } = await this.#open(this.#urlOf(record));
    const newest = this.#checkSame(record, await this.#ownHeads(store));
    return { record, newest, store };
  }

  /** @throws CoreError `usage` unless the place holds the key backup that is remembered. */
  #checkSame(record: KeyBackupRecord, heads: readonly ReadHead[]): ReadHead {
    const [newest] = heads;
    if (newest !== undefined && newest.head.id === record.id) return newest;
    const found = newest === undefined ? "there is none now" : "another one is there";
    throw new CoreError(
      "usage",
      `the key backup was made in ${record.url}, and ${found} in the place given; check CUSTODY_KEY_BACKUP_URL and that its disk is mounted, or take another place for good with \`custody keys backup --to PLACE --replace\``,
    );
  }

  async #ownHeads(store: BlobStore): ReturnType<typeof readHeads> {
    const { root } = this.#parts;
    const heads = await readHeads(store);
    for (const read of heads) {
      if (read.head.root !== root.id)
        throw new CoreError(
          "conflict",
          `the place holds keys under root key ${read.head.root}, and these are under ${root.id}; choose another place`,
        );
      if (!isGenuineHead(read, root.key))
        throw new CoreError("damaged", `the key backup's ${read.key} was altered`, {
          at: read.key,
        });
    }
    return heads;
  }

  async #copies(store: BlobStore): Promise<KeyCopies> {
    const { wrapping } = this.#parts;
    const packs = this.#packs(store);
    return { keys: this.#keys, wrapping, packs, listing: await listPacks(store) };
  }

  #packs(store: BlobStore): KeyPacks {
    const { root, random } = this.#parts;
    return new KeyPacks(store, packSealing(root.key), random);
  }

  #newId(): string {
    return Buffer.from(this.#parts.random(8)).toString("hex");
  }

  #urlOf(record: KeyBackupRecord | undefined): string {
    const { url = record?.url } = this.#options();
    if (this.#options().url === undefined && record?.isShortened === true)
      throw new CoreError(
        "usage",
        `the key backup is in ${record.url}, whose URL has credentials or options that are not kept; set CUSTODY_KEY_BACKUP_URL or CUSTODY_KEY_BACKUP_URL_FILE`,
      );
    if (url !== undefined) return url;
    throw new CoreError(
      "usage",
      "no place for the key backup is known; name one with `custody keys backup --to PLACE` or CUSTODY_KEY_BACKUP_URL",
    );
  }

  #options(): KeyBackupOptions {
    const { options } = this.#parts;
    if (options !== undefined) return options;
    throw new CoreError(
      "usage",
      "these keys have a key backup or are to have one, and the key service was opened without a way to it",
    );
  }

  /** The key service, opened once, where one is configured; a failure is not kept. */
  async #keyService(): Promise<WrappingService | undefined> {
    this.#service ??= this.#options().openKeyService?.();
    try {
      return await this.#service;
    } catch (error) {
      this.#service = undefined;
      throw error;
    }
  }

  /** The place, opened once; a failure is not kept. */
  async #open(url: string): Promise<OpenPlace> {
    const { open, shown = String } = this.#options();
    this.#place ??= open(url).then((store) => ({ store, url, shown: shown(url) }));
    try {
      return await this.#place;
    } catch (error) {
      this.#place = undefined;
      throw error;
    }
  }

  #inTurn<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

interface OpenPlace {
  readonly store: BlobStore;
  readonly url: string;
  readonly shown: string;
}

type PlacedHead = ReadHead & { readonly key: string };

async function isOpenedBy(head: ReadHead, service: WrappingService): Promise<boolean> {
  try {
    await openHead(head, { kind: "key-service", service });
    return true;
  } catch (error) {
    // `usage`: no key service has wrapped it yet. That one cannot be asked is no answer.
    if (error instanceof CoreError && ["usage", "no-key"].includes(error.code)) return false;
    throw error;
  }
}
