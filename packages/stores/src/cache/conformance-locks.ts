import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import type { Locks } from "./locks.ts";
import { NOTICE_BYTES_MAX } from "./notices.ts";
import type { Notices } from "./notices.ts";
import type { Clock } from "./port.ts";

type Store = Locks & Notices & AsyncDisposable;

const scope = scopeFor("tenant-a");
const other = scopeFor("tenant-b");
const ttlMs = 50;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The contract of locks and notices: what caches do beside caching. */
export function describeLocksAndNotices(
  engine: string,
  open: (clock: Clock) => Promise<Store>,
): void {
  describe(`locks and notices: ${engine}`, () => {
    let nowMs = 1_000;
    let store: Store;
    beforeEach(async () => {
      nowMs = 1_000;
      store = await open(() => nowMs);
    });
    afterEach(() => store[Symbol.asyncDispose]());

    describeLocks(
      () => store,
      (instant) => (nowMs = instant),
    );
    describeNotices(() => store);
  });
}

function describeLocks(current: () => Store, setTime: (nowMs: number) => void): void {
  test("of many who ask for a lock at once, exactly one gets it", async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => current().lock(scope, "job", { ttlMs })),
    );
    expect(answers.filter((lock) => lock !== undefined)).toHaveLength(1);
  });

  test("a lock ends at its instant, not before, and the next holder has a higher token", async () => {
    const first = await current().lock(scope, "job", { ttlMs });
    setTime(1_049);
    expect(await current().lock(scope, "job", { ttlMs })).toBeUndefined();
    setTime(1_050);
    const second = await current().lock(scope, "job", { ttlMs });
    expect(second?.token).toBeGreaterThan(first?.token ?? Infinity);
    await expect(first?.extend(ttlMs)).rejects.toMatchObject({
      name: "StoreError",
      code: "conflict",
    });
    await first?.release();
    expect(await current().lock(scope, "job", { ttlMs })).toBeUndefined();
  });

  test("a lock that was given back is free at once, with a higher token still", async () => {
    const first = await current().lock(scope, "job", { ttlMs });
    await first?.release();
    await first?.release();
    const second = await current().lock(scope, "job", { ttlMs });
    expect(second?.token).toBeGreaterThan(first?.token ?? Infinity);
    await second?.release();
    setTime(900);
    const third = await current().lock(scope, "job", { ttlMs });
    expect(third?.token).toBeGreaterThan(second?.token ?? Infinity);
  });

  test("an extended lock lives from then on", async () => {
    const lock = await current().lock(scope, "job", { ttlMs });
    setTime(1_040);
    await lock?.extend(100);
    setTime(1_139);
    expect(await current().lock(scope, "job", { ttlMs })).toBeUndefined();
    setTime(1_140);
    await expect(lock?.extend(100)).rejects.toMatchObject({ code: "conflict" });
    expect(await current().lock(scope, "job", { ttlMs })).toBeDefined();
  });

  test("locks of other tenants and names are apart, and names are any text up to their limit", async () => {
    const lock = async (of = scope, name = "a:b*?[c]"): Promise<unknown> =>
      await current().lock(of, name, { ttlMs });
    expect(await lock()).toBeDefined();
    expect(await lock(other)).toBeDefined();
    expect(await lock(scope, "a:b")).toBeDefined();
    expect(await lock(scope, "漢字\0😀")).toBeDefined();
    expect(await lock(scope, "\ud800")).toBeDefined();
    expect(await lock(scope, "\ud801")).toBeDefined();
    expect(await lock(scope, "n".repeat(512))).toBeDefined();
    await expect(lock(scope, "n".repeat(513))).rejects.toMatchObject({ code: "limit" });
    await expect(current().lock(scope, "k", { ttlMs: 0.5 })).rejects.toMatchObject({
      code: "refused",
    });
  });
}

function describeNotices(current: () => Store): void {
  /** Listens, and answers what was heard so far. */
  const listen = async (of = scope, channel = "news"): Promise<[string[], AsyncDisposable]> => {
    const heard: string[] = [];
    const subscription = await current().subscribe(of, channel, (bytes) => {
      heard.push(new TextDecoder().decode(bytes));
    });
    return [heard, subscription];
  };
  const heardBy = (heard: readonly string[]) => expect.poll(() => heard, { interval: 5 });

  test("a notice reaches everyone who listens, in order, and no one who does not", async () => {
    const [first] = await listen();
    const [second] = await listen();
    const [elsewhere] = await listen(scope, "news2");
    const [stranger] = await listen(other);
    await current().publish(scope, "news", text("one"));
    await current().publish(scope, "news", text("two"));
    await current().publish(scope, "news2", text("elsewhere"));
    await current().publish(other, "news", text("other tenant"));
    await heardBy(first).toEqual(["one", "two"]);
    await heardBy(second).toEqual(["one", "two"]);
    await heardBy(elsewhere).toEqual(["elsewhere"]);
    await heardBy(stranger).toEqual(["other tenant"]);
  });

  test("who has left hears nothing more, the others do", async () => {
    const [left, subscription] = await listen();
    const [stayed] = await listen();
    await current().publish(scope, "news", text("one"));
    await heardBy(left).toEqual(["one"]);
    await subscription[Symbol.asyncDispose]();
    await subscription[Symbol.asyncDispose]();
    await current().publish(scope, "news", text("two"));
    await heardBy(stayed).toEqual(["one", "two"]);
    expect(left).toEqual(["one"]);
  });

  test("a notice to no one is no error", async () => {
    await current().publish(scope, "silence", text("?"));
  });

  test("bytes arrive as they are, up to the limit; one more is refused", async () => {
    const heard: Uint8Array[] = [];
    await current().subscribe(scope, "bytes", (bytes) => heard.push(bytes));
    const longest = Uint8Array.from({ length: NOTICE_BYTES_MAX }, (_, index) => index % 256);
    await current().publish(scope, "bytes", longest);
    await current().publish(scope, "bytes", new Uint8Array(0));
    const over = current().publish(scope, "bytes", new Uint8Array(NOTICE_BYTES_MAX + 1));
    await expect(over).rejects.toMatchObject({ name: "StoreError", code: "limit" });
    await expect.poll(() => heard.length, { interval: 5 }).toBe(2);
    expect(heard).toEqual([longest, new Uint8Array(0)]);
  });
}
