import type { HeadObjectCommandOutput, ListObjectVersionsCommandOutput } from "@aws-sdk/client-s3";

import { isS3Answer } from "../drivers/s3-errors.ts";
import type { S3Connection } from "../drivers/s3.ts";
import { StoreError } from "../errors.ts";
import type { BlobProtection, BlobRetention } from "./port.ts";
import type { S3Object } from "./s3-download.ts";

/**
 * Deletes every version of an object, the oldest first: while one is protected, the newer ones stay,
 * and readers see what they saw. A plain delete would only put a marker over them.
 *
 * @throws StoreError `conflict` when a version is protected.
 */
export async function deleteS3Versions(s3: S3Connection, of: S3Object): Promise<void> {
  const versions = await versionsOf(s3, of);
  for (const version of versions.toReversed()) await deleteVersion(s3, of, version);
}

/** Sets or prolongs a retention. @throws StoreError `conflict`, `refused` as the port says. */
export async function retainS3Object(
  s3: S3Connection,
  { scope, key, object }: S3Object,
  { until, mode }: BlobRetention,
): Promise<void> {
  if (!Number.isSafeInteger(until)) {
    throw new StoreError("refused", "a retention ends at a whole number of epoch milliseconds");
  }
  const command = new s3.library.PutObjectRetentionCommand({
    Bucket: s3.settings.bucket,
    Key: object,
    Retention: {
      Mode: mode === "compliance" ? "COMPLIANCE" : "GOVERNANCE",
      RetainUntilDate: new Date(until),
    },
  });
  await s3.call({ scope, doing: `retain blob ${key}`, isWrite: true }, async (client, http) => {
    await client.send(command, http).catch((cause: unknown) => {
      if (isS3Answer(cause, ["NoSuchKey"], 404)) {
        throw new StoreError("refused", `there is no blob ${key}`, { cause });
      }
      if (!isLockAnswer(cause)) throw cause;
      throw new StoreError("conflict", `the retention of blob ${key} cannot end earlier`, {
        cause,
      });
    });
  });
}

/** What protects an object, as its head tells. */
export function protectionOf(head: HeadObjectCommandOutput): BlobProtection {
  const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = head;
  const isHeld = head.ObjectLockLegalHoldStatus === "ON";
  if (mode === undefined || until === undefined) return { isHeld };
  return {
    isHeld,
    retention: {
      until: until.getTime(),
      mode: mode === "COMPLIANCE" ? "compliance" : "governance",
    },
  };
}

/** Versions and delete markers of one key, newest first. */
async function versionsOf(
  s3: S3Connection,
  { scope, key, object }: S3Object,
): Promise<readonly string[]> {
  const found: { readonly id: string; readonly at: number }[] = [];
  let from: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } | undefined = {};
  while (from !== undefined) {
    const window = { Bucket: s3.settings.bucket, Prefix: object, ...from };
    const page: ListObjectVersionsCommandOutput = await s3.call(
      { scope, doing: `look at versions of ${key}` },
      (client, http) => client.send(new s3.library.ListObjectVersionsCommand(window), http),
    );
    for (const { Key, VersionId, LastModified } of [
      ...(page.Versions ?? []),
      ...(page.DeleteMarkers ?? []),
    ]) {
      if (Key === object && VersionId !== undefined) {
        found.push({ id: VersionId, at: LastModified?.getTime() ?? 0 });
      }
    }
    // Keys are listed in order, and longer ones come after: the first other key ends ours.
    const { IsTruncated, NextKeyMarker, NextVersionIdMarker } = page;
    const hasMore = IsTruncated === true && NextKeyMarker === object;
    from = hasMore
      ? {
          KeyMarker: object,
          ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }),
        }
      : undefined;
  }
  return found.sort((a, b) => b.at - a.at).map(({ id }) => id);
}

async function deleteVersion(
  s3: S3Connection,
  { scope, key, object }: S3Object,
  version: string,
): Promise<void> {
  const place = { Bucket: s3.settings.bucket, Key: object, VersionId: version };
  const of = { scope, doing: `delete blob ${key}`, isWrite: true };
  await s3.call(of, async (client, http) => {
    try {
      await client.send(new s3.library.DeleteObjectCommand(place), http);
    } catch (cause) {
      if (isS3Answer(cause, ["NoSuchVersion", "NoSuchKey"])) return;
      // Amazon refuses as it does those who lack the permission, so the version is asked.
      if (!isLockAnswer(cause)) throw cause;
      const head = await client.send(new s3.library.HeadObjectCommand(place), http);
      const { isHeld, retention } = protectionOf(head);
      if (!isHeld && (retention === undefined || retention.until <= s3.answeredAt())) throw cause;
      const why = isHeld ? "a legal hold" : `a retention until ${retention?.until}`;
      throw new StoreError("conflict", `blob ${key} is protected by ${why}`, { cause });
    }
  });
}

// MinIO answers 400 InvalidRequest, Amazon 403 AccessDenied.
function isLockAnswer(cause: unknown): boolean {
  return isS3Answer(cause, ["InvalidRequest", "AccessDenied", "ObjectLocked"]);
}
