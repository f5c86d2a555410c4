import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";

import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

import { readS3Settings } from "@custody/stores/drivers/s3-settings";

import type { RawBatch } from "../baseline/raw-store.ts";
import { rawPostgresql } from "./postgresql.ts";

const compress = promisify(zstdCompress);
// Batches under way at a time: as many as Custody's commits.
const UNDER_WAY = 4;

/** A client for the bucket that a URL names. */
export function rawBucketOf(url: string): {
  readonly client: S3Client;
  readonly Bucket: string;
  readonly prefix: string;
} {
  const { bucket: Bucket, prefix, endpoint, region, credentials } = readS3Settings(url);
  const client = new S3Client({
    region,
    forcePathStyle: true,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  });
  return { client, Bucket, prefix };
}

/** Makes the bucket of a URL. */
export async function makeRawBucket(url: string): Promise<void> {
  const { client, Bucket } = rawBucketOf(url);
  await client.send(new CreateBucketCommand({ Bucket }));
  client.destroy();
}

/** The log in the journal's place. */
export interface RawJournal {
  /** Resolves when there is room for another batch. */
  write(batch: RawBatch): Promise<void>;
  close(): Promise<void>;
}

/** Each batch compressed as an object of S3, then its entry and the ids of its records in PostgreSQL. */
export async function openRawJournal(urls: {
  readonly relational: string;
  readonly blob: string;
}): Promise<RawJournal> {
  await makeRawBucket(urls.blob);
  const { client: s3, Bucket, prefix } = rawBucketOf(urls.blob);
  const { client, schema } = await rawPostgresql(urls.relational);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema};
    CREATE TABLE ${schema}.entry (sequence bigint PRIMARY KEY, object text, hash bytea);
    CREATE TABLE ${schema}.record_id (id text PRIMARY KEY, sequence bigint, place int)`);
  let sequence = 0;
  const put = async (key: string, lines: Buffer): Promise<Buffer> => {
    const options = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
    const Body = await compress(lines, options);
    await s3.send(new PutObjectCommand({ Bucket, Key: `${prefix}${key}`, Body }));
    return createHash("sha256").update(Body).digest();
  };
  let tail = Promise.resolve();
  const underWay: Promise<void>[] = [];
  const note = async (n: number, hash: Buffer, ids: readonly string[]): Promise<void> => {
    await client.query("BEGIN");
    await client.query({
      name: "entry",
      text: `INSERT INTO ${schema}.entry VALUES ($1, $2, $3)`,
      values: [n, String(n), hash],
    });
    await client.query({
      name: "ids",
      text: `INSERT INTO ${schema}.record_id SELECT id, $2, place - 1
        FROM unnest($1::text[]) WITH ORDINALITY AS r (id, place)`,
      values: [ids, n],
    });
    await client.query("COMMIT");
  };
  return {
    async write({ bytes, records }) {
      const n = (sequence += 1);
      // The reader uses its buffer again.
      const stored = put(`segment/${n}`, Buffer.from(bytes));
      stored.catch(() => undefined);
      const ids = records.map(({ id }) => id);
      tail = tail.then(async () => note(n, await stored, ids));
      tail.catch(() => undefined);
      underWay.push(tail);
      if (underWay.length >= UNDER_WAY) await underWay.shift();
    },
    async close() {
      await tail;
      s3.destroy();
      await client.end();
    },
  };
}
