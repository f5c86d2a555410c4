import { randomBytes } from "node:crypto";

import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";

import { openS3BlobStore } from "@custody/stores/blob/s3";

import { SCOPE } from "../custody-scope.ts";
import { makeRawBucket, rawBucketOf } from "./journal.ts";
import { callsAtOnce } from "./measured.ts";
import type { Measured } from "./measured.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const SMALL = { bytes: 256 * KIB, count: 64 } as const;
const PART_BYTES = 8 * MIB;
const PARTS = 8;
const AT_ONCE = 4;

/** Writing and reading blobs of 256 KiB, and writing one of 64 MiB in parts. */
export async function blobOperations(url: string): Promise<Measured> {
  await makeRawBucket(url);
  const { client, Bucket, prefix } = rawBucketOf(url);
  const store = await openS3BlobStore({ url });
  const small = randomBytes(SMALL.bytes);
  const part = randomBytes(PART_BYTES);
  const keyOf = (run: string): string => `${prefix}raw/${run}`;
  for (let index = 0; index < SMALL.count; index += 1) {
    await client.send(new PutObjectCommand({ Bucket, Key: keyOf(`read/${index}`), Body: small }));
    await store.put(SCOPE, `read/${index}`, small);
  }
  const many = (call: (index: number) => Promise<unknown>): Promise<void> =>
    callsAtOnce(SMALL.count, AT_ONCE, call);
  const mebibytes = (SMALL.count * SMALL.bytes) / MIB;
  return {
    pairs: [
      {
        name: "blob put, 256 KiB",
        unit: "MiB/s",
        amount: mebibytes,
        raw: (run) =>
          many((index) =>
            client.send(
              new PutObjectCommand({ Bucket, Key: keyOf(`${run}/${index}`), Body: small }),
            ),
          ),
        store: (run) => many((index) => store.put(SCOPE, `${run}/${index}`, small)),
      },
      {
        name: "blob read, 256 KiB",
        unit: "MiB/s",
        amount: mebibytes,
        raw: () =>
          many(async (index) => {
            const Key = keyOf(`read/${index}`);
            const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
            return Body?.transformToByteArray();
          }),
        store: () => many((index) => store.read(SCOPE, `read/${index}`)),
      },
      {
        name: "blob put, 64 MiB in parts",
        unit: "MiB/s",
        amount: (PARTS * PART_BYTES) / MIB,
        raw: async (run) => {
          const to = { Bucket, Key: keyOf(`${run}/large`) };
          const { UploadId } = await client.send(new CreateMultipartUploadCommand(to));
          const sent: { PartNumber: number; ETag: string | undefined }[] = [];
          await callsAtOnce(PARTS, AT_ONCE, async (index) => {
            const PartNumber = index + 1;
            const command = new UploadPartCommand({ ...to, UploadId, PartNumber, Body: part });
            const { ETag } = await client.send(command);
            sent[index] = { PartNumber, ETag };
          });
          const MultipartUpload = { Parts: sent };
          await client.send(
            new CompleteMultipartUploadCommand({ ...to, UploadId, MultipartUpload }),
          );
        },
        store: (run) => store.put(SCOPE, `${run}/large`, repeated(part)),
      },
    ],
    close: async () => {
      client.destroy();
      await store[Symbol.asyncDispose]();
    },
  };
}

async function* repeated(part: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let count = 0; count < PARTS; count += 1) yield part;
}
