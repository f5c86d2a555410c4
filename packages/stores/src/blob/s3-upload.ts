import { createHash, randomUUID } from "node:crypto";
import { crc32 } from "node:zlib";

import type { PutObjectCommandInput } from "@aws-sdk/client-s3";

import { isS3Answer } from "../drivers/s3-errors.ts";
import type { S3Connection } from "../drivers/s3.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

export interface S3Upload {
  readonly scope: Scope;
  readonly key: string;
  /** The key as the bucket has it. */
  readonly object: string;
  readonly bytesMax: number;
  readonly ifAbsent?: boolean;
  readonly storageClass?: string;
}

/** Parts sent at a time; one more is being filled. */
const PARTS_AT_ONCE = 3;
/** Names who wrote an object, so that an upload whose answer was lost knows its own work again. */
const WRITER = "custody-writer";

interface Upload extends S3Upload {
  readonly s3: S3Connection;
  readonly writer: string;
  /** Buffers of parts that are sent. */
  readonly spare: Uint8Array[];
  /** True where parts are ours to write over. */
  readonly isCopied: boolean;
}

/** Writes a blob whole or not at all, and answers how many bytes it has. */
export async function uploadToS3(
  s3: S3Connection,
  of: S3Upload,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<number> {
  const isCopied = !(bytes instanceof Uint8Array);
  const upload = { ...of, s3, writer: randomUUID(), spare: [], isCopied };
  if (of.ifAbsent === true && !s3.settings.hasConditionalWrites) {
    if ((await writerOf(upload)) !== undefined) throw exists(upload);
  }
  const parts = partsOf(upload, bytes);
  const first = await parts.next();
  const second = first.done === true ? first : await parts.next();
  if (second.done === true) return await putWhole(upload, first.value ?? new Uint8Array(0));
  return await putInParts(upload, [first.value ?? new Uint8Array(0), second.value], parts);
}

/** Cuts what is given into parts of one size, the last as long as it is. */
async function* partsOf(
  upload: Upload,
  bytes: Uint8Array | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, undefined> {
  const { partBytes } = upload.s3.settings;
  const isWhole = bytes instanceof Uint8Array;
  const held: Uint8Array[] = [];
  let [taken, filled] = [0, 0];
  for await (const chunk of isWhole ? [bytes] : bytes) {
    taken += chunk.byteLength;
    checkLength(upload, taken);
    let rest = chunk;
    while (filled + rest.byteLength >= partBytes) {
      const cut = rest.subarray(0, partBytes - filled);
      yield isWhole ? cut : filledPart(upload, [...held, cut]);
      rest = rest.subarray(cut.byteLength);
      held.length = 0;
      filled = 0;
    }
    // The giver may use its buffer again once it is asked for more.
    if (rest.byteLength > 0) held.push(isWhole ? rest : rest.slice());
    filled += rest.byteLength;
  }
  const [only] = held;
  if (filled > 0) yield held.length === 1 && only !== undefined ? only : Buffer.concat(held);
}

/** A whole part, in a buffer that an earlier one no longer needs: fresh memory costs more than the copy. */
function filledPart(upload: Upload, chunks: readonly Uint8Array[]): Uint8Array {
  const part = upload.spare.pop() ?? Buffer.allocUnsafeSlow(upload.s3.settings.partBytes);
  let at = 0;
  for (const chunk of chunks) {
    part.set(chunk, at);
    at += chunk.byteLength;
  }
  return part;
}

function checkLength({ key, bytesMax }: Upload, bytes: number): void {
  if (bytes <= bytesMax) return;
  throw new StoreError("limit", `blob ${key} has more than ${bytesMax} bytes`);
}

async function putWhole(upload: Upload, bytes: Uint8Array): Promise<number> {
  const { s3, scope, key } = upload;
  const command = new s3.library.PutObjectCommand({
    ...target(upload),
    ...storedAs(upload),
    ...condition(upload),
    ...checksumOf(upload, bytes),
    Body: bytes,
  });
  const answer = await s3.call({ scope, doing: `put blob ${key}`, isWrite: true }, (client, http) =>
    client.send(command, http).catch((cause: unknown) => ownWork(upload, cause)),
  );
  checkEncryption(upload, answer?.ServerSideEncryption);
  return bytes.byteLength;
}

async function putInParts(
  upload: Upload,
  begun: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): Promise<number> {
  const { s3, scope, key } = upload;
  const isCrc = s3.settings.checksum === "crc32";
  const command = new s3.library.CreateMultipartUploadCommand({
    ...target(upload),
    ...storedAs(upload),
    ...(isCrc ? { ChecksumAlgorithm: "CRC32", ChecksumType: "FULL_OBJECT" } : {}),
  });
  const of = { scope, doing: `put blob ${key}`, isWrite: true };
  const { UploadId: id = "", ServerSideEncryption: encryption } = await s3.call(
    of,
    (client, http) => client.send(command, http),
  );
  try {
    checkEncryption(upload, encryption);
    const sent = await sendParts(upload, id, begun, rest);
    await complete(upload, id, sent);
    return sent.bytes;
  } catch (cause) {
    await abort(upload, id);
    throw cause;
  }
}

interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string | undefined;
  readonly ChecksumCRC32: string | undefined;
}

interface SentParts {
  readonly parts: readonly SentPart[];
  readonly bytes: number;
  /** Of all bytes. */
  readonly checksum: number;
}

async function sendParts(
  upload: Upload,
  id: string,
  begun: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): Promise<SentParts> {
  const { partBytes } = upload.s3.settings;
  const parts: SentPart[] = [];
  const underWay = new Set<Promise<void>>();
  let [bytes, checksum] = [0, 0];
  const send = async (part: Uint8Array): Promise<void> => {
    bytes += part.byteLength;
    checksum = crc32(part, checksum);
    const number = parts.push({ PartNumber: 0, ETag: undefined, ChecksumCRC32: undefined });
    const sending: Promise<void> = sendPart(upload, { id, number, part }).then((sent) => {
      parts[number - 1] = sent;
      underWay.delete(sending);
      if (upload.isCopied && part.byteLength === partBytes) upload.spare.push(part);
    });
    underWay.add(sending);
    // It is waited for later: until then a failure must not count as one that nobody handles.
    sending.catch(() => undefined);
    if (underWay.size >= PARTS_AT_ONCE) await Promise.race(underWay);
  };
  try {
    for (const part of begun) await send(part);
    for await (const part of rest) await send(part);
    await Promise.all(underWay);
  } finally {
    await Promise.allSettled(underWay);
  }
  return { parts, bytes, checksum };
}

async function sendPart(
  upload: Upload,
  of: { readonly id: string; readonly number: number; readonly part: Uint8Array },
): Promise<SentPart> {
  const { s3, scope, key } = upload;
  const command = new s3.library.UploadPartCommand({
    ...target(upload),
    ...checksumOf(upload, of.part),
    UploadId: of.id,
    PartNumber: of.number,
    Body: of.part,
  });
  const doing = `put part ${of.number} of blob ${key}`;
  const { ETag, ChecksumCRC32 } = await s3.call({ scope, doing, isWrite: true }, (client, http) =>
    client.send(command, http),
  );
  return { PartNumber: of.number, ETag, ChecksumCRC32 };
}

async function complete(upload: Upload, id: string, { parts, checksum }: SentParts): Promise<void> {
  const { s3, scope, key } = upload;
  const isCrc = s3.settings.checksum === "crc32";
  const command = new s3.library.CompleteMultipartUploadCommand({
    ...target(upload),
    ...condition(upload),
    ...(isCrc ? { ChecksumCRC32: crcText(checksum), ChecksumType: "FULL_OBJECT" } : {}),
    UploadId: id,
    MultipartUpload: { Parts: [...parts] },
  });
  await s3.call({ scope, doing: `put blob ${key}`, isWrite: true }, (client, http) =>
    client.send(command, http).catch((cause: unknown) => ownWork(upload, cause)),
  );
}

// Whoever waits for the upload has its failure already; the same server may be what does not answer.
const ABORT_MS_MAX = 5_000;

/** Best effort: what cannot be aborted now, the bucket's lifecycle removes. */
async function abort(upload: Upload, id: string): Promise<void> {
  const { s3, scope, key } = upload;
  const command = new s3.library.AbortMultipartUploadCommand({ ...target(upload), UploadId: id });
  const of = { scope: { ...scope, deadline: Date.now() + ABORT_MS_MAX }, doing: `undo ${key}` };
  await s3
    .call(of, (client, http) => client.send(command, http))
    .catch((cause: unknown) => {
      if (!(cause instanceof StoreError)) throw cause;
    });
}

/**
 * An upload that was sent again, as its answer was lost, finds that the key exists (or that the
 * upload is over): the object then says whether it was this one.
 */
async function ownWork(upload: Upload, cause: unknown): Promise<undefined> {
  const isTaken = isS3Answer(cause, ["PreconditionFailed"], 412);
  if (!isTaken && !isS3Answer(cause, ["NoSuchUpload"])) throw cause;
  if ((await writerOf(upload)) === upload.writer) return undefined;
  throw isTaken ? exists(upload, cause) : cause;
}

/** Who wrote the object that is there: empty for someone who left no name, `undefined` for no object. */
async function writerOf(upload: Upload): Promise<string | undefined> {
  const { s3, scope, key } = upload;
  return await s3.call({ scope, doing: `look at blob ${key}` }, async (client, http) => {
    const command = new s3.library.HeadObjectCommand(target(upload));
    try {
      const { Metadata } = await client.send(command, http);
      return Metadata?.[WRITER] ?? "";
    } catch (cause) {
      if (isS3Answer(cause, ["NotFound", "NoSuchKey"], 404)) return undefined;
      throw cause;
    }
  });
}

function exists({ key }: Upload, cause?: unknown): StoreError {
  return new StoreError("conflict", `blob ${key} exists`, { cause });
}

function target({ s3, object }: Upload): { readonly Bucket: string; readonly Key: string } {
  return { Bucket: s3.settings.bucket, Key: object };
}

type StoredAs = Pick<
  PutObjectCommandInput,
  "Metadata" | "StorageClass" | "ServerSideEncryption" | "SSEKMSKeyId"
>;

function storedAs({ s3, writer, storageClass = s3.settings.storageClass }: Upload): StoredAs {
  const { encryption } = s3.settings;
  return {
    Metadata: { [WRITER]: writer },
    // The server knows its classes, also those that this library has not heard of.
    ...(storageClass === undefined ? {} : { StorageClass: storageClass as "STANDARD" }),
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption.kind }),
    ...(encryption?.keyId === undefined ? {} : { SSEKMSKeyId: encryption.keyId }),
  };
}

/** A server that does not encrypt as it was asked to says so by silence. */
function checkEncryption({ s3 }: Upload, answered: string | undefined): void {
  const asked = s3.settings.encryption?.kind;
  if (asked === undefined || answered === undefined || answered === asked) return;
  throw new StoreError("unsupported", `the server does not encrypt by ${asked}`);
}

function condition({ s3, ifAbsent }: Upload): { readonly IfNoneMatch?: string } {
  return ifAbsent === true && s3.settings.hasConditionalWrites ? { IfNoneMatch: "*" } : {};
}

/** What the server compares the bytes with that arrive. */
function checksumOf(
  { s3 }: Upload,
  bytes: Uint8Array,
): { readonly ChecksumCRC32?: string; readonly ContentMD5?: string } {
  if (s3.settings.checksum === "crc32") return { ChecksumCRC32: crcText(crc32(bytes)) };
  return { ContentMD5: createHash("md5").update(bytes).digest("base64") };
}

function crcText(checksum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(checksum);
  return bytes.toString("base64");
}
