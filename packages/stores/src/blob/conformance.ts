import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { StoreError } from "../errors.ts";
import { runUntilKilled } from "../testing/killed-child.ts";
import { scopeFor } from "../testing/scope.ts";
import { describeProtection } from "./conformance-protection.ts";
import type { BlobStore } from "./port.ts";

/** What an engine's test hands to the suite. */
export interface BlobFixture extends AsyncDisposable {
  readonly store: BlobStore;
  /** Closes the store and opens it again on the same data. */
  reopen(): Promise<BlobStore>;
  /** A JavaScript expression that a child process awaits to get a store on the same data. */
  readonly childStore: string;
  /** Faults the engine can be put into while `work` runs. */
  readonly faults?: {
    readonly readOnly?: (work: () => Promise<void>) => Promise<void>;
  };
}

const BYTES_MAX = 1024 * 1024;
const scope = scopeFor("tenant-a");
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function* streamOf(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield await Promise.resolve(part);
}

async function collect(stream: AsyncIterable<Uint8Array> | undefined): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  if (stream !== undefined) for await (const part of stream) parts.push(part);
  return Uint8Array.from(Buffer.concat(parts));
}

/** The contract of every blob engine. An engine is done when this passes unedited. */
export function describeBlob(
  engine: string,
  open: (options: { readonly bytesMax: number }) => Promise<BlobFixture>,
): void {
  describe(`blob: ${engine}`, () => {
    let fixture: BlobFixture;
    let store: BlobStore;
    beforeEach(async () => {
      fixture = await open({ bytesMax: BYTES_MAX });
      store = fixture.store;
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    describeReading(() => store);
    describeWriting(() => store);
    describeKeys(() => store);
    describeListing(() => store);
    describeProtection(() => store);

    test("what was put is there after reopening", async () => {
      await store.put(scope, "a/b/c.bin", Uint8Array.of(0, 1, 255));
      const reopened = await fixture.reopen();
      expect(await reopened.read(scope, "a/b/c.bin")).toEqual(Uint8Array.of(0, 1, 255));
    });

    test("every acknowledged blob is whole after the writer was killed, and no other is partly there", async () => {
      const printed = await runUntilKilled(
        `const store = await (${fixture.childStore});
        const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
        for (let i = 0; ; i++) {
          const bytes = new Uint8Array(100_000).fill(i);
          await store.put(scope, "k/" + i, (async function* () { yield bytes; yield bytes; })());
          process.stdout.write(i + "\\n");
        }`,
        25,
      );
      const reopened = await fixture.reopen();
      const found = await reopened.list(scope, "", { limit: 10_000 });
      expect(found.map(({ bytes }) => bytes)).toEqual(found.map(() => 200_000));
      expect(found.length - printed.length).toBeOneOf([0, 1]);
      for (const line of printed) {
        const bytes = await reopened.read(scope, `k/${line}`);
        expect(bytes).toEqual(new Uint8Array(200_000).fill(Number(line)));
      }
    });

    test("a store whose files may not be written says read-only and still reads", async (context) => {
      const readOnly = fixture.faults?.readOnly;
      if (readOnly === undefined) return context.skip("this engine cannot be made read-only");
      await store.put(scope, "k", text("before"));
      await readOnly(async () => {
        await expect(store.put(scope, "k", text("after"))).rejects.toMatchObject({
          name: "StoreError",
          code: "read-only",
        });
        expect(await store.read(scope, "k")).toEqual(text("before"));
      });
    });
  });
}

function describeReading(current: () => BlobStore): void {
  test("what was put is read whole, in ranges and as a stream", async () => {
    const store = current();
    await store.put(scope, "k", text("0123456789"));
    expect(await store.read(scope, "k")).toEqual(text("0123456789"));
    expect(await store.read(scope, "k", { start: 3, end: 6 })).toEqual(text("345"));
    expect(await store.read(scope, "k", { start: 8, end: 99 })).toEqual(text("89"));
    expect(await store.read(scope, "k", { start: 10, end: 12 })).toEqual(text(""));
    expect(await collect(await store.stream(scope, "k"))).toEqual(text("0123456789"));
  });

  test("a blob of many chunks streams back byte for byte", async () => {
    const store = current();
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, index) => (index * 31) % 251);
    await store.put(
      scope,
      "big",
      streamOf(bytes.subarray(0, 1), bytes.subarray(1, 7), bytes.subarray(7)),
    );
    expect(Buffer.compare(await collect(await store.stream(scope, "big")), bytes)).toBe(0);
  });

  test("an empty blob is a blob", async () => {
    const store = current();
    await store.put(scope, "empty", streamOf());
    expect(await store.read(scope, "empty")).toEqual(new Uint8Array(0));
    expect(await store.stat(scope, "empty")).toMatchObject({ key: "empty", bytes: 0 });
  });

  test("what was never put is undefined to read, stream and stat, and no error to delete", async () => {
    const store = current();
    expect(await store.read(scope, "no/such")).toBeUndefined();
    expect(await store.stream(scope, "no/such")).toBeUndefined();
    expect(await store.stat(scope, "no/such")).toBeUndefined();
    await store.delete(scope, "no/such");
  });

  test("the leading part of a key is no blob", async () => {
    const store = current();
    await store.put(scope, "a/b", text("x"));
    expect(await store.read(scope, "a")).toBeUndefined();
    expect(await store.stat(scope, "a")).toBeUndefined();
    await store.delete(scope, "a");
    expect(await store.read(scope, "a/b")).toEqual(text("x"));
  });

  test("another tenant never sees, lists, measures or deletes a blob", async () => {
    const store = current();
    const other = scopeFor("tenant-b");
    await store.put(scope, "k", text("mine"));
    expect(await store.read(other, "k")).toBeUndefined();
    expect(await store.list(other, "", { limit: 10 })).toEqual([]);
    expect(await store.usage(other)).toEqual({ blobs: 0, bytes: 0 });
    await store.delete(other, "k");
    expect(await store.read(scope, "k")).toEqual(text("mine"));
  });
}

function describeWriting(current: () => BlobStore): void {
  test("a later put replaces the blob", async () => {
    const store = current();
    await store.put(scope, "k", text("long before"));
    const info = await store.put(scope, "k", text("after"));
    expect(info).toMatchObject({ key: "k", bytes: 5 });
    expect(await store.read(scope, "k")).toEqual(text("after"));
  });

  test("ifAbsent keeps what is there, and of many writers at once exactly one wins, as the engine declares", async () => {
    const store = current();
    const outcomes = await Promise.allSettled(
      [1, 2, 3, 4, 5].map((value) =>
        store.put(scope, "once", Uint8Array.of(value), { ifAbsent: true }),
      ),
    );
    const winners = outcomes.filter(({ status }) => status === "fulfilled").length;
    expect(winners).toBeOneOf(store.capabilities.isIfAbsentExact ? [1] : [1, 2, 3, 4, 5]);
    const kept = await store.read(scope, "once");
    await expect(store.put(scope, "once", text("again"), { ifAbsent: true })).rejects.toMatchObject(
      { name: "StoreError", code: "conflict" },
    );
    expect(await store.read(scope, "once")).toEqual(kept);
  });

  test("a stream that fails leaves what was there before, and nothing else", async () => {
    const store = current();
    await store.put(scope, "k", text("before"));
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(text("half"));
      throw new Error("the source broke");
    };
    await expect(store.put(scope, "k", failing())).rejects.toThrow("the source broke");
    await expect(store.put(scope, "new", failing())).rejects.toThrow("the source broke");
    expect(await store.read(scope, "k")).toEqual(text("before"));
    expect(await store.usage(scope)).toEqual({ blobs: 1, bytes: 6 });
  });

  test("while a stream is still being written, a reader sees what was there before", async () => {
    const store = current();
    await store.put(scope, "k", text("before"));
    let seen: Uint8Array | undefined;
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      yield text("af");
      seen = await store.read(scope, "k");
      yield text("ter");
    };
    await store.put(scope, "k", watched());
    expect(seen).toEqual(text("before"));
    expect(await store.read(scope, "k")).toEqual(text("after"));
  });

  test("a blob at the limit is kept, one byte more is refused and changes nothing", async () => {
    const store = current();
    const { bytesMax } = store.limits;
    expect(bytesMax).toBe(BYTES_MAX);
    await store.put(scope, "k", new Uint8Array(bytesMax));
    const over = streamOf(new Uint8Array(bytesMax), Uint8Array.of(1));
    for (const bytes of [new Uint8Array(bytesMax + 1), over]) {
      await expect(store.put(scope, "k", bytes)).rejects.toMatchObject({
        name: "StoreError",
        code: "limit",
      });
    }
    expect(await store.stat(scope, "k")).toMatchObject({ bytes: bytesMax });
  });

  test("a key within another key is kept or refused, as the engine declares", async () => {
    const store = current();
    await store.put(scope, "a", text("short"));
    await store.put(scope, "b/c", text("long"));
    const within = store.put(scope, "a/b", text("x"));
    const above = store.put(scope, "b", text("y"));
    const outcomes = await Promise.allSettled([within, above]);
    const { canNestKeys } = store.capabilities;
    expect(
      outcomes.map((outcome) =>
        outcome.status === "fulfilled" ? "kept" : (outcome.reason as StoreError).code,
      ),
    ).toEqual(canNestKeys ? ["kept", "kept"] : ["refused", "refused"]);
    expect(await store.read(scope, "a/b")).toEqual(canNestKeys ? text("x") : undefined);
    expect(await store.read(scope, "a")).toEqual(text("short"));
    expect(await store.read(scope, "b/c")).toEqual(text("long"));
    await store.delete(scope, "b/c");
    await store.delete(scope, "a/b");
    await store.put(scope, "b", text("now free"));
    expect(await store.read(scope, "b")).toEqual(text("now free"));
  });
}

function describeKeys(current: () => BlobStore): void {
  const part = "p".repeat(200);
  const longest = `${part}/${part}/${"k".repeat(110)}`;
  test.each([["a"], ["A-Z_0.9/-x-/_y_"], [".hidden"], ["..a/b.."], ["...."], [longest]])(
    "a well-formed key is kept as it is: %s",
    async (key) => {
      const store = current();
      await store.put(scope, key, text("v"));
      expect(await store.read(scope, key)).toEqual(text("v"));
      expect((await store.list(scope, "", { limit: 2 })).map((blob) => blob.key)).toEqual([key]);
      await store.delete(scope, key);
      expect(await store.usage(scope)).toEqual({ blobs: 0, bytes: 0 });
    },
  );

  test("the longest well-formed key has 512 characters", () => {
    expect([longest.length, current().limits.keyLengthMax]).toEqual([512, 512]);
  });

  test.each([
    [""],
    ["/a"],
    ["a/"],
    ["a//b"],
    ["."],
    [".."],
    ["../tenant-b/blobs/k"],
    ["a/../../k"],
    ["a/./b"],
    ["a\\b"],
    ["a\0b"],
    ["a b"],
    ["a%2e"],
    ["ä"],
    ["~writing/x"],
    ["a\n"],
    [`${part}p`],
    [`${longest}k`],
  ])("a malformed key is refused by every method: %j", async (key) => {
    const store = current();
    const refusal = { name: "StoreError", code: "refused" };
    const calls = [
      async () => await store.put(scope, key, text("v")),
      async () => await store.read(scope, key),
      async () => await store.stream(scope, key),
      async () => await store.stat(scope, key),
      async () => await store.delete(scope, key),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(refusal);
  });

  test.each([["../tenant-a"], ["Tenant"], [""], ["a/b"], ["a\0"]])(
    "a malformed tenant is refused: %j",
    async (tenant) => {
      const store = current();
      await expect(
        (async () => await store.put(scopeFor(tenant), "k", text("v")))(),
      ).rejects.toMatchObject({ code: "invalid-id" });
    },
  );
}

function describeListing(current: () => BlobStore): void {
  const keys = ["a", "a-b", "a.b", "a0", "b/1", "b/10", "b/2", "b-x", "b0", "c/d/e/f", "c/d.e"];
  const inOrder = [...keys].sort();
  const put = async (): Promise<void> => {
    for (const key of keys) await current().put(scope, key, text(key));
  };
  const listed = async (prefix: string, limit: number, after?: string): Promise<string[]> => {
    const options = after === undefined ? { limit } : { limit, after };
    return (await current().list(scope, prefix, options)).map((blob) => blob.key);
  };

  test("keys are listed in code-unit order, whatever their directories", async () => {
    await put();
    expect(await listed("", 100)).toEqual(inOrder);
    expect(inOrder.slice(4, 9)).toEqual(["b-x", "b/1", "b/10", "b/2", "b0"]);
  });

  test("a prefix is a prefix of the key, not a directory", async () => {
    await put();
    expect(await listed("b", 100)).toEqual(["b-x", "b/1", "b/10", "b/2", "b0"]);
    expect(await listed("b/1", 100)).toEqual(["b/1", "b/10"]);
    expect(await listed("c/d", 100)).toEqual(["c/d.e", "c/d/e/f"]);
    expect(await listed("d", 100)).toEqual([]);
    expect(await listed("../", 100)).toEqual([]);
  });

  test("pages of any size, each after the last key of the one before, give every key once", async () => {
    await put();
    for (const limit of [1, 2, 3, 11, 12]) {
      const all: string[] = [];
      for (let page = await listed("", limit); page.length > 0;) {
        expect(page.length).toBeLessThanOrEqual(limit);
        all.push(...page);
        page = await listed("", limit, all.at(-1));
      }
      expect(all).toEqual(inOrder);
    }
  });

  test("list, stat and usage tell the sizes, and a deleted blob is gone from all", async () => {
    const store = current();
    await store.put(scope, "x/one", text("1"));
    await store.put(scope, "x/three", text("333"));
    expect(await store.usage(scope)).toEqual({ blobs: 2, bytes: 4 });
    const [one, three] = await store.list(scope, "x/", { limit: 10 });
    expect([one?.bytes, three?.bytes]).toEqual([1, 3]);
    expect(await store.stat(scope, "x/three")).toEqual(three);
    await store.delete(scope, "x/three");
    expect(await store.read(scope, "x/three")).toBeUndefined();
    expect(await listed("", 10)).toEqual(["x/one"]);
    expect(await store.usage(scope)).toEqual({ blobs: 1, bytes: 1 });
  });
}
