import { Readable } from "node:stream";
import { crc32 } from "node:zlib";

import type { GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";

import { callMilliseconds } from "../drivers/call-limit.ts";
import { isS3Answer } from "../drivers/s3-errors.ts";
import type { S3Connection } from "../drivers/s3.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

export interface S3Object {
  readonly scope: Scope;
  readonly key: string;
  /** The key as the bucket has it. */
  readonly object: string;
}

/** A stream that breaks off is taken up again where it did, unless it breaks so often without a byte. */
const RESUMES_MAX = 3;

/** Reads an object, or a part of it, into memory; `undefined` when there is none. */
export async function readS3Object(
  s3: S3Connection,
  of: S3Object,
  range?: { readonly start: number; readonly end: number },
): Promise<Uint8Array | undefined> {
  const start = Math.max(0, range?.start ?? 0);
  const end = range?.end ?? Number.POSITIVE_INFINITY;
  // No range is empty in HTTP: the first byte is asked for, and left out.
  const last = Math.max(start, end - 1);
  const wanted = range === undefined ? {} : { Range: rangeText(start, last) };
  return await s3.call(reading(of), async (client, http) => {
    const output = await request(s3, of, wanted)(client, http);
    if (output === undefined || output === "beyond") return output && new Uint8Array(0);
    const bytes = await collect(output, http.abortSignal);
    if (range === undefined) checkWhole(of, output, crc32(bytes));
    return end > start ? bytes : new Uint8Array(0);
  });
}

/** Streams an object whose beginning is already on its way; `undefined` when there is none. */
export async function streamS3Object(
  s3: S3Connection,
  of: S3Object,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const output = await s3.call(reading(of), request(s3, of, {}));
  if (output === undefined || output === "beyond") return undefined;
  const { body } = sourceOf(output);
  // A stream that is never read would hold its connection for ever; read later, it is asked for again.
  const patience = setTimeout(() => body.destroy(), s3.settings.timeoutMs).unref();
  return chunks(s3, of, { output, patience });
}

async function* chunks(
  s3: S3Connection,
  of: S3Object,
  begun: { readonly output: GetObjectCommandOutput; readonly patience: NodeJS.Timeout },
): AsyncGenerator<Uint8Array> {
  const { output: first, patience } = begun;
  clearTimeout(patience);
  const bytes = first.ContentLength ?? 0;
  let [at, checksum, resumes] = [0, 0, 0];
  let source = sourceOf(first);
  try {
    while (at < bytes) {
      const chunk = await nextChunk(s3, of, source);
      if (chunk !== undefined) {
        [at, checksum, resumes] = [at + chunk.byteLength, crc32(chunk, checksum), 0];
        yield chunk;
        continue;
      }
      source.body.destroy();
      resumes += 1;
      if (resumes > RESUMES_MAX) throw brokenOff(of);
      source = await resume(s3, of, { at, etag: first.ETag });
    }
    checkWhole(of, first, checksum);
  } finally {
    source.body.destroy();
  }
}

interface Source {
  readonly body: Readable;
  readonly chunks: AsyncIterator<unknown>;
}

/** The next bytes, or `undefined` when the stream ended or broke off. */
async function nextChunk(
  s3: S3Connection,
  { scope, key }: S3Object,
  source: Source,
): Promise<Uint8Array | undefined> {
  const ms = callMilliseconds(scope, s3.settings.timeoutMs, Date.now());
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    source.body.destroy();
  }, ms);
  const next = await source.chunks.next().catch(() => undefined);
  clearTimeout(timer);
  if (isOver) {
    throw new StoreError("unavailable", `S3, asked to read blob ${key}, paused for over ${ms} ms`);
  }
  return next?.value instanceof Uint8Array ? next.value : undefined;
}

async function resume(
  s3: S3Connection,
  of: S3Object,
  from: { readonly at: number; readonly etag: string | undefined },
): Promise<Source> {
  const wanted = {
    Range: `bytes=${from.at}-`,
    ...(from.etag === undefined ? {} : { IfMatch: from.etag }),
  };
  const output = await s3.call(reading(of), request(s3, of, wanted)).catch((cause: unknown) => {
    throw cause instanceof StoreError && cause.code === "conflict" ? brokenOff(of) : cause;
  });
  // Replaced or deleted since: what was given so far is of a blob that is no more.
  if (output === undefined || output === "beyond") throw brokenOff(of);
  return sourceOf(output);
}

type Request = (
  client: S3Client,
  http: { readonly abortSignal: AbortSignal },
) => Promise<GetObjectCommandOutput | "beyond" | undefined>;

function request(
  { library, settings }: S3Connection,
  { object }: S3Object,
  wanted: { readonly Range?: string; readonly IfMatch?: string },
): Request {
  const place = { Bucket: settings.bucket, Key: object };
  const command = new library.GetObjectCommand({ ...place, ...wanted });
  // Asked for in the header alone, as the library would otherwise compute it a second time.
  command.middlewareStack.add(
    (next) => (args) => {
      const { request: sent } = args;
      if (typeof sent === "object" && sent !== null && "headers" in sent) {
        Object.assign(sent.headers as object, { "x-amz-checksum-mode": "ENABLED" });
      }
      return next(args);
    },
    { step: "build", name: "custodyChecksum" },
  );
  return async (client, http) => {
    try {
      return await client.send(command, http);
    } catch (cause) {
      if (isS3Answer(cause, ["NoSuchKey", "NotFound"])) return undefined;
      if (isS3Answer(cause, ["InvalidRange"], 416)) return "beyond";
      throw cause;
    }
  };
}

async function collect(output: GetObjectCommandOutput, over: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(output.ContentLength ?? 0);
  const { body } = sourceOf(output);
  over.addEventListener("abort", () => body.destroy(), { once: true });
  let at = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  if (at === bytes.byteLength) return bytes;
  throw new StoreError("unavailable", "S3 broke off an answer");
}

function sourceOf({ Body: body }: GetObjectCommandOutput): Source {
  if (body instanceof Readable) return { body, chunks: body[Symbol.asyncIterator]() };
  throw new StoreError("unavailable", "S3 gave no body");
}

function reading({ scope, key }: S3Object): { readonly scope: Scope; readonly doing: string } {
  return { scope, doing: `read blob ${key}` };
}

/** Compares what was read with the checksum that came with the bytes when they were put. */
function checkWhole(of: S3Object, output: GetObjectCommandOutput, checksum: number): void {
  const { ChecksumCRC32: expected, ChecksumType: type } = output;
  if (expected === undefined || type === "COMPOSITE") return;
  if (Buffer.from(expected, "base64").readUInt32BE() === checksum) return;
  throw new StoreError("corrupt", `blob ${of.key} is not what was put: its checksum differs`);
}

function brokenOff({ key }: S3Object): StoreError {
  return new StoreError("unavailable", `S3 broke off blob ${key}`);
}

function rangeText(start: number, last: number): string {
  return `bytes=${start}-${Number.isFinite(last) ? last : ""}`;
}
