import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  S3Client,
} from "@aws-sdk/client-s3";

/** A bucket of a test's own that keeps every version, seen past the store. */
export interface VersionedBucket extends AsyncDisposable {
  /** Opens the bucket as a store does. */
  readonly url: string;
  /** Every version of every object with its bytes; markers of deletion have none. */
  readonly versions: () => Promise<
    readonly { readonly key: string; readonly bytes: Uint8Array | undefined }[]
  >;
}

/** Makes a {@link VersionedBucket} on the server of a URL. */
export async function makeVersionedBucket(server: string, name: string): Promise<VersionedBucket> {
  const client = clientOf(server);
  await client.send(new CreateBucketCommand({ Bucket: name }));
  await client.send(
    new PutBucketVersioningCommand({
      Bucket: name,
      VersioningConfiguration: { Status: "Enabled" },
    }),
  );
  const list = async () => {
    const page = await client.send(new ListObjectVersionsCommand({ Bucket: name }));
    return { versions: page.Versions ?? [], markers: page.DeleteMarkers ?? [] };
  };
  const [place = "", options = ""] = server.split("?", 2);
  return {
    url: `${place}/${name}?${options}`,
    versions: async () => {
      const { versions, markers } = await list();
      const read = versions.map(async ({ Key = "", VersionId }) => {
        const found = await client.send(new GetObjectCommand({ Bucket: name, Key, VersionId }));
        return { key: Key, bytes: await found.Body?.transformToByteArray() };
      });
      return [
        ...(await Promise.all(read)),
        ...markers.map(({ Key = "" }) => ({ key: Key, bytes: undefined })),
      ];
    },
    async [Symbol.asyncDispose]() {
      const { versions, markers } = await list();
      for (const { Key, VersionId } of [...versions, ...markers])
        await client.send(new DeleteObjectCommand({ Bucket: name, Key, VersionId }));
      await client.send(new DeleteBucketCommand({ Bucket: name }));
      client.destroy();
    },
  };
}

function clientOf(server: string): S3Client {
  const [, user = "", password = "", place = ""] =
    /^s3:\/\/([^:]*):([^@]*)@([^/?]*)/.exec(server) ?? [];
  return new S3Client({
    region: "us-east-1",
    endpoint: `http://${place}`,
    forcePathStyle: true,
    credentials: { accessKeyId: user, secretAccessKey: password },
  });
}
