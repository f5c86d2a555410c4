import type * as S3 from "@aws-sdk/client-s3";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds, withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { mapS3Error } from "./s3-errors.ts";
import { readS3Settings } from "./s3-settings.ts";
import type { S3Settings } from "./s3-settings.ts";

/** The library's module, loaded when a bucket is configured. */
export type S3Library = typeof S3;

/** One request of a call, for its messages and its time limit. */
export interface S3Call {
  readonly scope: Scope;
  /** `put blob x`. */
  readonly doing: string;
  /** A refusal then means that the bucket may not be written. */
  readonly isWrite?: boolean;
}

/** S3Connection: a client of one bucket, which is looked at, and made where asked, before its first use. */
export interface S3Connection extends AsyncDisposable {
  readonly library: S3Library;
  readonly settings: S3Settings;
  /** True when the bucket keeps earlier versions. Asks the server once. */
  isVersioned(scope: Scope): Promise<boolean>;
  /** Forgets what the bucket was found to be. */
  lookAgain(): void;
  /** Sends what `work` makes, within the time limit. @throws StoreError as `mapS3Error` says. */
  call<Result>(
    of: S3Call,
    work: (client: S3Client, http: { readonly abortSignal: AbortSignal }) => Promise<Result>,
  ): Promise<Result>;
  /** The server's own clock as its latest answer told it, in whole seconds of epoch milliseconds. */
  answeredAt(): number;
  /** An address for reading a key without credentials. */
  presign(key: string, expiresSeconds: number): Promise<string>;
  health(): Promise<EngineHealth>;
}

interface BucketFacts {
  readonly isVersioned: boolean;
}

interface ServerTalk {
  product: string;
  answeredAt: number;
}

// Credentials, signatures and checksums are the library's; an upload that is cut off is sent again.
const ATTEMPTS_MAX = 3;
// The interface has no version but the date of its description (docs.aws.amazon.com/AmazonS3/latest/API).
const API_VERSION = "2006-03-01";

/** Makes a client for the bucket that the URL names; nothing is sent before the first call. */
export async function openS3Connection(url: string): Promise<S3Connection> {
  const settings = readS3Settings(url);
  const library = await loadClientLibrary(() => import("@aws-sdk/client-s3"), {
    product: "S3",
    install: "@aws-sdk/client-s3@3 @aws-sdk/s3-request-presigner@3",
  });
  const client = new library.S3Client(clientConfig(settings));
  const talk: ServerTalk = { product: "S3", answeredAt: Date.now() };
  listen(client, talk);
  return new Connection({ library, settings, client, talk });
}

interface Parts {
  readonly library: S3Library;
  readonly settings: S3Settings;
  readonly client: S3Client;
  readonly talk: ServerTalk;
}

class Connection implements S3Connection {
  readonly library: S3Library;
  readonly settings: S3Settings;
  readonly #client: S3Client;
  readonly #talk: ServerTalk;
  #facts: Promise<BucketFacts> | undefined;

  constructor({ library, settings, client, talk }: Parts) {
    this.library = library;
    this.settings = settings;
    this.#client = client;
    this.#talk = talk;
  }

  async isVersioned(scope: Scope): Promise<boolean> {
    return (await this.#bucket(scope)).isVersioned;
  }

  lookAgain(): void {
    this.#facts = undefined;
  }

  async call<Result>(...[of, work]: Parameters<S3Connection["call"]>): Promise<Result> {
    await this.#bucket(of.scope);
    return (await this.#send(of, work)) as Result;
  }

  answeredAt(): number {
    return this.#talk.answeredAt;
  }

  async presign(key: string, expiresIn: number): Promise<string> {
    const { getSignedUrl } = await loadClientLibrary(
      () => import("@aws-sdk/s3-request-presigner"),
      { product: "S3", install: "@aws-sdk/s3-request-presigner@3" },
    );
    const command = new this.library.GetObjectCommand({ Bucket: this.settings.bucket, Key: key });
    try {
      return await getSignedUrl(this.#client, command, { expiresIn });
    } catch (cause) {
      throw mapS3Error({ doing: "sign an address" }, cause);
    }
  }

  async health(): Promise<EngineHealth> {
    const scope = { tenant: "health", actor: "health", deadline: Number.POSITIVE_INFINITY };
    const startedAt = performance.now();
    await this.#bucket(scope);
    await this.#send({ scope, doing: "ask after the bucket" }, (client, http) =>
      client.send(new this.library.HeadBucketCommand({ Bucket: this.settings.bucket }), http),
    );
    const tookMs = performance.now() - startedAt;
    return { product: this.#talk.product, version: API_VERSION, tookMs };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
    await Promise.resolve();
  }

  /** Looks at the bucket once; a failure is forgotten, so that the next call looks again. */
  async #bucket(scope: Scope): Promise<BucketFacts> {
    this.#facts ??= this.#lookAtBucket(scope).catch((cause: unknown) => {
      this.#facts = undefined;
      throw cause;
    });
    return await this.#facts;
  }

  async #lookAtBucket(scope: Scope): Promise<BucketFacts> {
    const { library, settings } = this;
    const bucket = { Bucket: settings.bucket };
    if (settings.isMade) await this.#makeBucket(scope);
    const doing = `look at bucket ${settings.bucket}`;
    const { Status } = await this.#send({ scope, doing }, (client, http) =>
      client.send(new library.GetBucketVersioningCommand(bucket), http),
    );
    if (settings.isLocked) await this.#checkLock(scope);
    return { isVersioned: Status !== undefined };
  }

  async #makeBucket(scope: Scope): Promise<void> {
    const { bucket, region, isLocked } = this.settings;
    const doing = `make bucket ${bucket}`;
    // In us-east-1 the place must not be named (API_CreateBucket).
    const place =
      region === "us-east-1"
        ? {}
        : { CreateBucketConfiguration: { LocationConstraint: region as "eu-central-1" } };
    try {
      await this.#send({ scope, doing, isWrite: true }, (client, http) =>
        client.send(
          new this.library.CreateBucketCommand({
            Bucket: bucket,
            ObjectLockEnabledForBucket: isLocked,
            ...place,
          }),
          http,
        ),
      );
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== "conflict") throw cause;
    }
  }

  async #checkLock(scope: Scope): Promise<void> {
    const { bucket } = this.settings;
    const lock = await this.#send({ scope, doing: "read the object lock" }, (client, http) =>
      client
        .send(new this.library.GetObjectLockConfigurationCommand({ Bucket: bucket }), http)
        .catch((cause: unknown) => {
          if (nameOf(cause) === "ObjectLockConfigurationNotFoundError") return undefined;
          throw cause;
        }),
    );
    if (lock?.ObjectLockConfiguration?.ObjectLockEnabled === "Enabled") return;
    throw new StoreError(
      "unsupported",
      `bucket ${bucket} was made without object lock, which cannot be added: use another bucket, or take object-lock out of the URL`,
    );
  }

  async #send<Result>(
    of: S3Call,
    work: (client: S3Client, http: { readonly abortSignal: AbortSignal }) => Promise<Result>,
  ): Promise<Result> {
    const ms = callMilliseconds(of.scope, this.settings.timeoutMs, Date.now());
    try {
      return await withinMilliseconds(ms, `S3, asked to ${of.doing},`, (abortSignal) =>
        work(this.#client, { abortSignal }),
      );
    } catch (cause) {
      if (nameOf(cause) === "NoSuchBucket") this.#facts = undefined;
      throw mapS3Error(of, cause);
    }
  }
}

function clientConfig(settings: S3Settings): S3ClientConfig {
  const { endpoint, region, credentials, isPathStyle, poolMax, connectMs, tls } = settings;
  const agent = { keepAlive: true, maxSockets: poolMax };
  const secure = {
    ...agent,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls?.isVerified ?? true,
  };
  return {
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: isPathStyle,
    maxAttempts: ATTEMPTS_MAX,
    // We send and verify checksums ourselves; servers other than Amazon's refuse headers they do not know.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: connectMs, httpAgent: agent, httpsAgent: secure },
    logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  };
}

/** Learns from each answer what the server is and what its clock says. */
function listen(client: S3Client, talk: ServerTalk): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const headers = headersOf(result.response);
      const date = Date.parse(headers?.["date"] ?? "");
      if (!Number.isNaN(date)) Object.assign(talk, { answeredAt: date });
      if (headers?.["server"] !== undefined) {
        Object.assign(talk, { product: headers["server"] });
      }
      return result;
    },
    { step: "deserialize", name: "custodyListen" },
  );
}

function headersOf(response: unknown): Readonly<Record<string, string>> | undefined {
  if (typeof response !== "object" || response === null || !("headers" in response)) return;
  return response.headers as Readonly<Record<string, string>>;
}

function nameOf(cause: unknown): string | undefined {
  return cause instanceof Error ? cause.name : undefined;
}
