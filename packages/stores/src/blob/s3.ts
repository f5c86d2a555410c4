import type { ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";

import { checkTenant } from "@custody/contract/ids";

import { isS3Answer } from "../drivers/s3-errors.ts";
import { openS3Connection } from "../drivers/s3.ts";
import type { S3Connection } from "../drivers/s3.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import { BLOB_KEY_LENGTH_MAX, checkBlobKey } from "./port.ts";
import type { BlobInfo, BlobLimits, BlobProtection, BlobRetention, BlobStore } from "./port.ts";
import { readS3Object, streamS3Object } from "./s3-download.ts";
import { deleteS3Versions, protectionOf, retainS3Object } from "./s3-retention.ts";
import { uploadToS3 } from "./s3-upload.ts";

export interface S3BlobStoreOptions {
  readonly url: string;
  /** Longest blob; default, and at most, 10,000 parts (80 GiB of parts of 8 MiB). */
  readonly bytesMax?: number;
}

// Limits of a multipart upload, and of a presigned address (qfacts.html, ShareObjectPreSignedURL.html).
const PARTS_MAX = 10_000;
const PRESIGN_MS_MAX = 7 * 24 * 3_600 * 1_000;
const PAGE_MAX = 1_000;

/**
 * Blob store in a bucket of Amazon S3, MinIO or what else speaks S3, at `<prefix>/<tenant>/<key>`.
 *
 * `s3://ACCESS:SECRET@host:9000/bucket/prefix?region=us-east-1`, by TLS `s3s://…`, or for Amazon
 * `s3://bucket.s3.eu-central-1.amazonaws.com/prefix`, always by TLS. Without a user the library's own
 * chain finds credentials: environment, profile, web identity, instance. Options, besides those of every
 * server: `region`; `create=true` makes the bucket when it is not there; `object-lock=true` says that the
 * bucket has object lock (or is made with it, and so with versions); `path-style`; `part-size` in MiB (8);
 * `sse=AES256|aws:kms` with `sse-kms-key`; `storage-class`; `checksum=md5` and
 * `conditional-writes=false` for servers that know no CRC-32 or no `If-None-Match` on writing.
 *
 * A blob is one PUT or, from two parts on, a multipart upload: three parts are sent at a time, and about
 * five are in memory at most. An upload that is broken off is aborted; where the process dies with it, its parts stay
 * until the bucket's lifecycle rule `AbortIncompleteMultipartUpload` (MinIO: its own after a day)
 * removes them, unseen by readers.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` when the library is not installed.
 */
export async function openS3BlobStore(
  options: S3BlobStoreOptions,
): Promise<BlobStore & ServerEngine> {
  const connection = await openS3Connection(options.url);
  const partsBytes = connection.settings.partBytes * PARTS_MAX;
  return new S3BlobStore(connection, Math.min(options.bytesMax ?? partsBytes, partsBytes));
}

class S3BlobStore implements BlobStore, ServerEngine {
  readonly role = "blob";
  readonly engine = "s3";
  readonly limits: BlobLimits;
  readonly capabilities: BlobStore["capabilities"];
  readonly #s3: S3Connection;

  constructor(s3: S3Connection, bytesMax: number) {
    this.#s3 = s3;
    this.limits = { keyLengthMax: BLOB_KEY_LENGTH_MAX, bytesMax, presignMsMax: PRESIGN_MS_MAX };
    this.capabilities = {
      canNestKeys: true,
      isIfAbsentExact: s3.settings.hasConditionalWrites,
      canRetain: s3.settings.isLocked,
      canPresign: true,
      hasStorageClasses: true,
    };
  }

  async put(...[scope, key, bytes, options = {}]: Parameters<BlobStore["put"]>): Promise<BlobInfo> {
    const object = this.#name(scope, key);
    const { bytesMax } = this.limits;
    const written = await uploadToS3(this.#s3, { scope, key, object, bytesMax, ...options }, bytes);
    return { key, bytes: written, modifiedAt: this.#s3.answeredAt() };
  }

  async read(...[scope, key, range]: Parameters<BlobStore["read"]>) {
    return await readS3Object(this.#s3, { scope, key, object: this.#name(scope, key) }, range);
  }

  async stream(scope: Scope, key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    return await streamS3Object(this.#s3, { scope, key, object: this.#name(scope, key) });
  }

  async stat(scope: Scope, key: string): Promise<BlobInfo | undefined> {
    const head = await this.#head(scope, key);
    if (head === undefined) return undefined;
    return { key, bytes: head.ContentLength ?? 0, modifiedAt: wholeSeconds(head.LastModified) };
  }

  async list(...[scope, prefix, { limit, after }]: Parameters<BlobStore["list"]>) {
    const found: BlobInfo[] = [];
    for await (const page of this.#pages(scope, { prefix, limit, after: after ?? "" })) {
      found.push(...page);
      if (found.length >= limit) break;
    }
    return found.slice(0, Math.max(0, limit));
  }

  async delete(scope: Scope, key: string): Promise<void> {
    const object = this.#name(scope, key);
    const { library, settings } = this.#s3;
    if (await this.#s3.isVersioned(scope)) {
      await deleteS3Versions(this.#s3, { scope, key, object });
      return;
    }
    const doing = `delete blob ${key}`;
    const { DeleteMarker, VersionId } = await this.#s3.call(
      { scope, doing, isWrite: true },
      (client, http) =>
        client.send(
          new library.DeleteObjectCommand({ Bucket: settings.bucket, Key: object }),
          http,
        ),
    );
    if (DeleteMarker === undefined && VersionId === undefined) return;
    // The bucket has begun to keep versions since it was looked at.
    this.#s3.lookAgain();
    await deleteS3Versions(this.#s3, { scope, key, object });
  }

  async usage(scope: Scope): Promise<{ readonly blobs: number; readonly bytes: number }> {
    let [blobs, bytes] = [0, 0];
    for await (const page of this.#pages(scope, { prefix: "", limit: PAGE_MAX, after: "" })) {
      blobs += page.length;
      for (const blob of page) bytes += blob.bytes;
    }
    return { blobs, bytes };
  }

  async retain(scope: Scope, key: string, retention: BlobRetention): Promise<void> {
    const object = this.#name(scope, key);
    this.#checkRetention();
    await retainS3Object(this.#s3, { scope, key, object }, retention);
  }

  async legalHold(scope: Scope, key: string, isOn: boolean): Promise<void> {
    const object = this.#name(scope, key);
    this.#checkRetention();
    const { library, settings } = this.#s3;
    const command = new library.PutObjectLegalHoldCommand({
      Bucket: settings.bucket,
      Key: object,
      LegalHold: { Status: isOn ? "ON" : "OFF" },
    });
    const doing = `hold blob ${key}`;
    await this.#s3.call({ scope, doing, isWrite: true }, async (client, http) => {
      await client.send(command, http).catch((cause: unknown) => {
        throw isS3Answer(cause, ["NoSuchKey"], 404) ? noBlob(key, cause) : cause;
      });
    });
  }

  async protection(scope: Scope, key: string): Promise<BlobProtection | undefined> {
    this.#name(scope, key);
    this.#checkRetention();
    const head = await this.#head(scope, key);
    return head && protectionOf(head);
  }

  async presign(...[scope, key, { expiresMs }]: Parameters<BlobStore["presign"]>) {
    const object = this.#name(scope, key);
    if (!Number.isSafeInteger(expiresMs) || expiresMs <= 0) {
      throw new StoreError("refused", "a life is a whole number of milliseconds above 0");
    }
    if (expiresMs > PRESIGN_MS_MAX) {
      throw new StoreError("limit", `an address lives for at most ${PRESIGN_MS_MAX} ms`);
    }
    return await this.#s3.presign(object, Math.ceil(expiresMs / 1_000));
  }

  health(): Promise<EngineHealth> {
    return this.#s3.health();
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#s3[Symbol.asyncDispose]();
  }

  #root({ tenant }: Scope): string {
    return `${this.#s3.settings.prefix}${checkTenant(tenant)}/`;
  }

  #name(scope: Scope, key: string): string {
    return `${this.#root(scope)}${checkBlobKey(key)}`;
  }

  #checkRetention(): void {
    if (this.capabilities.canRetain) return;
    throw new StoreError(
      "unsupported",
      "retention and legal holds need a bucket with object lock: say object-lock=true in the URL",
    );
  }

  async #head(scope: Scope, key: string) {
    const { library, settings } = this.#s3;
    const of = { Bucket: settings.bucket, Key: this.#name(scope, key) };
    return await this.#s3.call({ scope, doing: `look at blob ${key}` }, (client, http) =>
      client.send(new library.HeadObjectCommand(of), http).catch((cause: unknown) => {
        if (isS3Answer(cause, ["NotFound", "NoSuchKey"], 404)) return undefined;
        throw cause;
      }),
    );
  }

  /** Blobs whose key begins with the prefix and comes after, in order, a page at a time. */
  async *#pages(
    scope: Scope,
    window: { readonly prefix: string; readonly after: string; readonly limit: number },
  ): AsyncGenerator<readonly BlobInfo[]> {
    const root = this.#root(scope);
    // What cannot begin a key begins none; servers refuse `..` and may fold `//`.
    if (!mayBeginKey(window.prefix) || window.limit < 1) return;
    const { library, settings } = this.#s3;
    let from: { readonly StartAfter?: string; readonly ContinuationToken?: string } | undefined =
      window.after === "" ? {} : { StartAfter: `${root}${window.after}` };
    while (from !== undefined) {
      const asked = {
        Bucket: settings.bucket,
        Prefix: `${root}${window.prefix}`,
        MaxKeys: Math.min(PAGE_MAX, window.limit),
        ...from,
      };
      const page: ListObjectsV2CommandOutput = await this.#s3.call(
        { scope, doing: "list blobs" },
        (client, http) => client.send(new library.ListObjectsV2Command(asked), http),
      );
      yield (page.Contents ?? []).map(({ Key = "", Size = 0, LastModified: modified }) => ({
        key: Key.slice(root.length),
        bytes: Size,
        modifiedAt: wholeSeconds(modified),
      }));
      const { NextContinuationToken: token } = page;
      from = token === undefined ? undefined : { ContinuationToken: token };
    }
  }
}

/** Headers tell whole seconds and lists some more; all answers are to say the same. */
function wholeSeconds(modified: Date | undefined): number {
  return Math.floor((modified?.getTime() ?? 0) / 1_000) * 1_000;
}

function mayBeginKey(prefix: string): boolean {
  if (prefix === "") return true;
  try {
    checkBlobKey(prefix.endsWith("/") ? `${prefix}x` : prefix);
    return true;
  } catch {
    // A lone `.` or `..` may go on as `.hidden`.
    return /(?:^|\/)\.{1,2}$/.test(prefix) && mayBeginKey(`${prefix}x`);
  }
}

function noBlob(key: string, cause: unknown): StoreError {
  return new StoreError("refused", `there is no blob ${key}`, { cause });
}
