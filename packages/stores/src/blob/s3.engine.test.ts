import {
  DeleteBucketCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";

import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName, testServerUrl } from "../testing/engine-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { openTamperingProxy } from "../testing/tampering-proxy.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { describeBlob } from "./conformance.ts";
import type { BlobFixture } from "./conformance.ts";
import type { BlobStore } from "./port.ts";
import { openS3BlobStore } from "./s3.ts";

const module = new URL("./s3.ts", import.meta.url).href;
const scope = scopeFor("tenant-a");
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const MIB = 1024 * 1024;
const PLAIN = "custody-test";
const LOCKED = "custody-test-locked";
const tlsServer = process.env["CUSTODY_TEST_S3_TLS_URL"];
const server = testServerUrl("s3") ?? "s3://none:none@127.0.0.1:1";

/** The server's URL with a path and options. */
function at(path: string, options = "", url = server): string {
  const [place = "", query = ""] = url.split("?", 2);
  return `${place}/${path}?${[query, options].filter((part) => part !== "").join("&")}`;
}

/** The library itself, past the store. */
function rawClient(): S3Client {
  const [, user = "", password = "", place = ""] =
    /^s3:\/\/([^:]*):([^@]*)@([^/?]*)/.exec(server) ?? [];
  return new S3Client({
    region: "us-east-1",
    endpoint: `http://${place}`,
    forcePathStyle: true,
    credentials: { accessKeyId: user, secretAccessKey: password },
  });
}

async function versions(bucket: string, prefix: string) {
  const raw = rawClient();
  const page = await raw.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix }));
  return [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])];
}

/** Removes what a test left, also what is retained in governance mode. */
async function sweep(bucket: string, prefix: string): Promise<void> {
  const raw = rawClient();
  for (const { Key, VersionId } of await versions(bucket, prefix)) {
    await raw.send(
      new DeleteObjectCommand({
        Bucket: bucket,
        Key,
        VersionId,
        ...(bucket === LOCKED ? { BypassGovernanceRetention: true } : {}),
      }),
    );
  }
}

async function fixture(bucket: string, options: string, bytesMax: number): Promise<BlobFixture> {
  const directory = await makeTemporaryDirectory();
  const prefix = serverName(directory.path);
  const url = at(`${bucket}/${prefix}`, `create=true&${options}`);
  let store = await openS3BlobStore({ url, bytesMax });
  return {
    store,
    async reopen() {
      await store[Symbol.asyncDispose]();
      store = await openS3BlobStore({ url, bytesMax });
      return store;
    },
    childStore: `(await import("${module}")).openS3BlobStore(${JSON.stringify({ url })})`,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await sweep(bucket, prefix);
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function withStore(
  work: (store: BlobStore, prefix: string) => Promise<void>,
  { bucket = PLAIN, options = "", url = server } = {},
): Promise<void> {
  await using directory = await makeTemporaryDirectory();
  const prefix = serverName(directory.path);
  const store = await openS3BlobStore({
    url: at(`${bucket}/${prefix}`, `create=true&${options}`, url),
  });
  try {
    await work(store, prefix);
  } finally {
    await store[Symbol.asyncDispose]();
    await sweep(bucket, prefix);
  }
}

async function* repeated(chunk: Uint8Array, times: number): AsyncGenerator<Uint8Array> {
  for (let time = 0; time < times; time += 1) yield await Promise.resolve(chunk);
}

async function collect(stream: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  if (stream !== undefined) for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

describeOnServer("s3", () => {
  describeBlob("s3", ({ bytesMax }) => fixture(PLAIN, "", bytesMax));
  describeBlob("s3 with object lock", ({ bytesMax }) =>
    fixture(LOCKED, "object-lock=true", bytesMax),
  );
  describeBlob("s3 of a server that knows neither CRC-32 nor conditional writes", ({ bytesMax }) =>
    fixture(PLAIN, "checksum=md5&conditional-writes=false", bytesMax),
  );

  test("a blob lies at the prefix, tenant and key, so that it can be found without Custody", async () => {
    await withStore(async (store, prefix) => {
      await store.put(scope, "segments/2026/x.zst", Uint8Array.of(1));
      const found = await versions(PLAIN, prefix);
      expect(found.map(({ Key }) => Key)).toEqual([`${prefix}/tenant-a/segments/2026/x.zst`]);
    });
  });

  test("a stream longer than a part is kept whole, whatever its chunks", async () => {
    await withStore(
      async (store) => {
        const chunk = Uint8Array.from({ length: 3_000_001 }, (_, index) => (index * 31) % 251);
        const info = await store.put(scope, "big", repeated(chunk, 6), { ifAbsent: true });
        expect(info.bytes).toBe(18_000_006);
        const expected = Buffer.concat(Array.from({ length: 6 }, () => chunk));
        expect(expected.equals((await store.read(scope, "big")) ?? text(""))).toBe(true);
        expect(expected.equals(await collect(await store.stream(scope, "big")))).toBe(true);
        await expect(
          store.put(scope, "big", repeated(chunk, 6), { ifAbsent: true }),
        ).rejects.toMatchObject({ code: "conflict" });
        await store.put(scope, "exact", new Uint8Array(10 * MIB));
        expect((await store.stat(scope, "exact"))?.bytes).toBe(10 * MIB);
      },
      { options: "part-size=5" },
    );
  });

  test("a long stream that fails leaves what was there before, and no parts", async () => {
    await withStore(
      async (store, prefix) => {
        await store.put(scope, "k", text("before"));
        const failing = async function* (): AsyncGenerator<Uint8Array> {
          yield* repeated(new Uint8Array(MIB), 18);
          throw new Error("the source broke");
        };
        await expect(store.put(scope, "k", failing())).rejects.toThrow("the source broke");
        expect(await store.read(scope, "k")).toEqual(text("before"));
        const left = await rawClient().send(
          new ListMultipartUploadsCommand({ Bucket: PLAIN, Prefix: `${prefix}/tenant-a/k` }),
        );
        expect(left.Uploads ?? []).toEqual([]);
      },
      { options: "part-size=5" },
    );
  });

  test("deleting in a bucket with versions removes every version and leaves no marker", async () => {
    await withStore(
      async (store, prefix) => {
        await store.put(scope, "k", text("one"));
        await store.put(scope, "k", text("two"));
        await store.put(scope, "k-longer", text("other"));
        await rawClient().send(
          new DeleteObjectCommand({ Bucket: LOCKED, Key: `${prefix}/tenant-a/k` }),
        );
        expect(await store.read(scope, "k")).toBeUndefined();
        expect(await versions(LOCKED, `${prefix}/tenant-a/`)).toHaveLength(4);
        await store.delete(scope, "k");
        expect((await versions(LOCKED, `${prefix}/tenant-a/`)).map(({ Key }) => Key)).toEqual([
          `${prefix}/tenant-a/k-longer`,
        ]);
      },
      { bucket: LOCKED, options: "object-lock=true" },
    );
  });

  test("a retention that is over protects no longer, in compliance mode too", async () => {
    await withStore(
      async (store) => {
        await store.put(scope, "k", text("kept"));
        const until = Date.now() + 2_000;
        await store.retain(scope, "k", { until, mode: "compliance" });
        const conflict = { name: "StoreError", code: "conflict" };
        await expect(store.delete(scope, "k")).rejects.toMatchObject(conflict);
        await expect
          .poll(() => store.delete(scope, "k").then(() => Date.now() >= until), { timeout: 8_000 })
          .toBe(true);
        expect(await store.read(scope, "k")).toBeUndefined();
      },
      { bucket: LOCKED, options: "object-lock=true" },
    );
  });

  test.each([
    ["AES256", "sse=AES256", {}],
    ["aws:kms", "sse=aws:kms&sse-kms-key=test-key", { SSEKMSKeyId: "arn:aws:kms:test-key" }],
  ])("blobs are encrypted at rest by %s when the URL asks for it", async (kind, options, more) => {
    await withStore(
      async (store, prefix) => {
        await store.put(scope, "small", text("v"));
        await store.put(scope, "long", repeated(new Uint8Array(MIB), 11));
        for (const key of ["small", "long"]) {
          const head = await rawClient().send(
            new HeadObjectCommand({ Bucket: PLAIN, Key: `${prefix}/tenant-a/${key}` }),
          );
          expect(head).toMatchObject({ ServerSideEncryption: kind, ...more });
        }
        expect(await store.read(scope, "small")).toEqual(text("v"));
        expect((await store.read(scope, "long"))?.byteLength).toBe(11 * MIB);
      },
      { options: `${options}&part-size=5` },
    );
  });

  test("a storage class is the server's, from the put or else from the URL", async () => {
    await withStore(
      async (store, prefix) => {
        await store.put(scope, "url", text("v"));
        await store.put(scope, "put", text("v"), { storageClass: "STANDARD" });
        const classes = (await versions(PLAIN, prefix)).map((version) =>
          "StorageClass" in version ? [version.Key?.split("/").at(-1), version.StorageClass] : [],
        );
        expect(classes).toEqual([
          ["put", "STANDARD"],
          ["url", "REDUCED_REDUNDANCY"],
        ]);
      },
      { options: "storage-class=REDUCED_REDUNDANCY" },
    );
  });
});

describeOnServer("s3", () => {
  const { hostname: host, port } = new URL(server.replace(/^s3:/, "http:"));
  const upstream = { host, port: Number(port) };
  const through = (proxy: { readonly port: number }): string =>
    server.replace(/@[^/?]*/, `@127.0.0.1:${proxy.port}`);
  /** Alters one letter of a text as it passes. */
  const misspelling = (bytes: Buffer): Buffer => {
    const found = bytes.indexOf("evidence");
    if (found >= 0) bytes.write("E", found);
    return bytes;
  };

  test("bytes that were altered on their way back are refused as corrupt", async () => {
    await using proxy = await openTamperingProxy(upstream, { down: misspelling });
    await withStore(
      async (store) => {
        await store.put(scope, "k", text("the evidence"));
        const corrupt = { name: "StoreError", code: "corrupt" };
        await expect(store.read(scope, "k")).rejects.toMatchObject(corrupt);
        const stream = await store.stream(scope, "k");
        await expect(collect(stream)).rejects.toMatchObject(corrupt);
      },
      { url: through(proxy) },
    );
  });

  test("bytes that were altered on their way there are refused by the server", async () => {
    await using proxy = await openTamperingProxy(upstream, { up: misspelling });
    await withStore(
      async (store) => {
        await expect(store.put(scope, "k", text("the evidence"))).rejects.toMatchObject({
          name: "StoreError",
          code: "unavailable",
        });
        expect(await store.read(scope, "k")).toBeUndefined();
      },
      { url: through(proxy) },
    );
  });

  test("ifAbsent knows its own blob again when the answer was lost on the way", async () => {
    let toLose = 1;
    const down = (bytes: Buffer): Buffer | "cut" => {
      // Only a put's answer has an ETag and no body.
      if (toLose === 0 || !/\r\netag:/i.test(bytes.toString("latin1"))) return bytes;
      toLose -= 1;
      return "cut";
    };
    await using proxy = await openTamperingProxy(upstream, { down });
    await withStore(
      async (store) => {
        await store.put(scope, "k", text("mine"), { ifAbsent: true });
        expect(toLose).toBe(0);
        await expect(
          store.put(scope, "k", text("other"), { ifAbsent: true }),
        ).rejects.toMatchObject({ code: "conflict" });
        toLose = 1;
        const body = repeated(new Uint8Array(MIB), 11);
        await store.put(scope, "long", body, { ifAbsent: true });
        expect((await store.stat(scope, "long"))?.bytes).toBe(11 * MIB);
      },
      { url: through(proxy), options: "part-size=5" },
    );
  });

  test("a stream that breaks off goes on where it did", async () => {
    let passed = 0;
    const down = (bytes: Buffer): Buffer | "cut" => {
      const before = Math.floor(passed / (3 * MIB));
      passed += bytes.length;
      return Math.floor(passed / (3 * MIB)) > before ? "cut" : bytes;
    };
    await using proxy = await openTamperingProxy(upstream, { down });
    await withStore(
      async (store) => {
        const bytes = Uint8Array.from({ length: 10 * MIB }, (_, index) => (index * 31) % 251);
        await store.put(scope, "k", bytes);
        const streamed = await collect(await store.stream(scope, "k"));
        expect(Buffer.compare(streamed, bytes)).toBe(0);
        expect(proxy.connections()).toBeGreaterThan(3);
      },
      { url: through(proxy) },
    );
  });

  test("a part that fails while the source is slow ends the upload, and not the process", async () => {
    const unhandled: unknown[] = [];
    const note = (cause: unknown) => void unhandled.push(cause);
    process.on("unhandledRejection", note);
    let cuts = 0;
    const up = (bytes: Buffer): Buffer | "cut" => {
      if (!bytes.includes("partNumber=1&")) return bytes;
      cuts += 1;
      return "cut";
    };
    await using proxy = await openTamperingProxy(upstream, { up });
    await withStore(
      async (store) => {
        const slow = async function* (): AsyncGenerator<Uint8Array> {
          yield* repeated(new Uint8Array(MIB), 11);
          // The library tries three times.
          await expect.poll(() => cuts, { timeout: 5_000 }).toBe(3);
          await new Promise((resolve) => setTimeout(resolve, 100));
          yield new Uint8Array(MIB);
        };
        await expect(store.put(scope, "k", slow())).rejects.toMatchObject({ code: "unavailable" });
        expect(await store.read(scope, "k")).toBeUndefined();
      },
      { url: through(proxy), options: "part-size=5" },
    );
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  test("a stream that nobody reads gives its connection back", async () => {
    await withStore(
      async (store) => {
        await store.put(scope, "k", new Uint8Array(8 * MIB));
        const forgotten = await store.stream(scope, "k");
        const stat = () => store.stat(scope, "k").catch(() => undefined);
        await expect.poll(stat, { timeout: 4_000 }).toMatchObject({ bytes: 8 * MIB });
        // Whoever remembers it late reads it from its beginning all the same.
        expect((await collect(forgotten)).byteLength).toBe(8 * MIB);
      },
      { options: "pool=1&timeout=700" },
    );
  });

  test("more calls than connections wait their turn, and one that waits too long is unavailable", async () => {
    await withStore(
      async (store) => {
        await store.put(scope, "k", new Uint8Array(4 * MIB));
        const reads = Array.from({ length: 20 }, () => store.stat(scope, "k"));
        expect(await Promise.all(reads)).toHaveLength(20);
        const held = (await store.stream(scope, "k"))?.[Symbol.asyncIterator]();
        await held?.next();
        await expect(store.stat(scope, "k")).rejects.toMatchObject({
          name: "StoreError",
          code: "unavailable",
        });
        await held?.return?.();
        expect(await store.stat(scope, "k")).toMatchObject({ bytes: 4 * MIB });
      },
      { options: "pool=1&timeout=700" },
    );
  });
});

describeOnServer("s3", () => {
  test("a bucket that is not there is unavailable with what to do, and found once it was made", async () => {
    await using directory = await makeTemporaryDirectory();
    const bucket = `custody-${serverName(directory.path)}`;
    await using store = await openS3BlobStore({ url: at(bucket) });
    await expect(store.put(scope, "k", text("v"))).rejects.toMatchObject({
      name: "StoreError",
      code: "unavailable",
      message: expect.stringContaining("create=true") as string,
    });
    await using maker = await openS3BlobStore({ url: at(bucket, "create=true") });
    await maker.health();
    await store.put(scope, "k", text("v"));
    await store.delete(scope, "k");
    await rawClient().send(new DeleteBucketCommand({ Bucket: bucket }));
  });

  test("versions that the bucket began to keep later are deleted too", async () => {
    await using directory = await makeTemporaryDirectory();
    const bucket = `custody-${serverName(directory.path)}`;
    await using store = await openS3BlobStore({ url: at(bucket, "create=true") });
    await store.put(scope, "k", text("one"));
    await rawClient().send(
      new PutBucketVersioningCommand({
        Bucket: bucket,
        VersioningConfiguration: { Status: "Enabled" },
      }),
    );
    await store.put(scope, "k", text("two"));
    await store.delete(scope, "k");
    expect(await versions(bucket, "tenant-a/")).toEqual([]);
    await rawClient().send(new DeleteBucketCommand({ Bucket: bucket }));
  });

  test("a bucket without object lock is refused where the URL promises it", async () => {
    await using store = await openS3BlobStore({
      url: at(PLAIN, "object-lock=true"),
    });
    await expect(store.health()).rejects.toMatchObject({ code: "unsupported" });
  });

  test("wrong credentials are unavailable, and no secret is in the message", async () => {
    for (const credentials of ["nobody:Sesame-42", "minioadmin:Sesame-42"]) {
      const url = at(PLAIN).replace(/\/\/[^@]*@/, `//${credentials}@`);
      await using store = await openS3BlobStore({ url });
      const failure = await store.health().catch((cause: unknown) => cause);
      expect(failure).toMatchObject({ name: "StoreError", code: "unavailable" });
      expect(String(failure)).not.toContain("Sesame");
    }
  });

  test("a healthy server tells its product", async () => {
    await using store = await openS3BlobStore({ url: at(PLAIN, "create=true") });
    expect(await store.health()).toEqual({
      product: "MinIO",
      version: "2006-03-01",
      tookMs: expect.any(Number) as number,
    });
  });
});

describe.skipIf(tlsServer === undefined)("on s3 with TLS", () => {
  const url = tlsServer ?? "s3://none/none";

  test("the certificate of the given authority is trusted, any other is not", async () => {
    await using directory = await makeTemporaryDirectory();
    const path = `${PLAIN}/${serverName(directory.path)}`;
    await using store = await openS3BlobStore({ url: at(path, "create=true", url) });
    await store.put(scope, "k", text("v"));
    expect(await store.read(scope, "k")).toEqual(text("v"));
    await store.delete(scope, "k");
    const untrusting = at(path, "", url.replace(/ca=[^&]*/, "verify=true"));
    await using stranger = await openS3BlobStore({ url: untrusting });
    await expect(stranger.read(scope, "k")).rejects.toMatchObject({
      name: "StoreError",
      code: "unavailable",
    });
  });
});

describeNetworkFaults("s3", {
  open: (url) => openS3BlobStore({ url: at(`${PLAIN}/network`, "create=true", url) }),
  write: async (store, number, of) => {
    await store.put(of, `row/${number}`, Uint8Array.of(number % 256));
  },
  count: async (store, of) => (await store.usage(of)).blobs,
  clean: () => sweep(PLAIN, "network/"),
});
