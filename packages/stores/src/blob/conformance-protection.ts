import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import type { BlobStore } from "./port.ts";

const scope = scopeFor("tenant-a");
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const refusal = (code: string): object => ({ name: "StoreError", code });
const MINUTE_MS = 60_000;

/** What the store itself promises beyond bytes: each kept where it is declared, refused where it is not. */
export function describeProtection(current: () => BlobStore): void {
  describeRetention(current);
  describeHolds(current);

  test("a presigned address is read from without credentials, or refused, as the engine declares", async () => {
    const store = current();
    const { canPresign } = store.capabilities;
    const { presignMsMax } = store.limits;
    await store.put(scope, "k", text("for anyone"));
    const sign = async (expiresMs: number, key = "k"): Promise<string> =>
      await store.presign(scope, key, { expiresMs, method: "GET" });
    if (!canPresign) {
      expect(presignMsMax).toBe(0);
      await expect(sign(1_000)).rejects.toMatchObject(refusal("unsupported"));
      return;
    }
    expect(await (await fetch(await sign(MINUTE_MS))).text()).toBe("for anyone");
    const altered = (await sign(MINUTE_MS)).replace("/k?", "/l?");
    expect((await fetch(altered)).status).toBe(403);
    expect((await fetch(await sign(presignMsMax, "never"))).status).toBe(404);
    await expect(sign(presignMsMax + 1)).rejects.toMatchObject(refusal("limit"));
    await expect(sign(0)).rejects.toMatchObject(refusal("refused"));
    await expect(sign(MINUTE_MS, "../k")).rejects.toMatchObject(refusal("refused"));
  });

  test("a storage class is taken or refused, as the engine declares", async () => {
    const store = current();
    const put = store.put(scope, "k", text("v"), { storageClass: "STANDARD" });
    if (store.capabilities.hasStorageClasses) {
      await put;
      expect(await store.read(scope, "k")).toEqual(text("v"));
      await expect(
        store.put(scope, "l", text("v"), { storageClass: "NO_SUCH_CLASS" }),
      ).rejects.toMatchObject(refusal("refused"));
    } else {
      await expect(put).rejects.toMatchObject(refusal("unsupported"));
    }
  });
}

function describeRetention(current: () => BlobStore): void {
  test("a retained blob is not deleted, and its retention is prolonged, not shortened", async () => {
    const store = current();
    const until = Date.now() + MINUTE_MS;
    await store.put(scope, "k", text("kept"));
    const retain = async (at: number): Promise<void> =>
      await store.retain(scope, "k", { until: at, mode: "governance" });
    if (!store.capabilities.canRetain) {
      await expect(retain(until)).rejects.toMatchObject(refusal("unsupported"));
      await expect(store.protection(scope, "k")).rejects.toMatchObject(refusal("unsupported"));
      return;
    }
    expect(await store.protection(scope, "k")).toEqual({ isHeld: false });
    await retain(until);
    await expect(store.delete(scope, "k")).rejects.toMatchObject(refusal("conflict"));
    await expect(retain(until - 30_000)).rejects.toMatchObject(refusal("conflict"));
    expect(await store.protection(scope, "k")).toEqual({
      isHeld: false,
      retention: { until, mode: "governance" },
    });
    await retain(until + 1_000);
    expect((await store.protection(scope, "k"))?.retention?.until).toBe(until + 1_000);
    expect(await store.read(scope, "k")).toEqual(text("kept"));
  });

  test("a put over a retained blob is read, and neither is deleted", async () => {
    const store = current();
    if (!store.capabilities.canRetain) return;
    await store.put(scope, "k", text("kept"));
    await store.retain(scope, "k", { until: Date.now() + MINUTE_MS, mode: "governance" });
    await store.put(scope, "k", text("newer"));
    await expect(store.delete(scope, "k")).rejects.toMatchObject(refusal("conflict"));
    expect(await store.read(scope, "k")).toEqual(text("newer"));
  });
}

function describeHolds(current: () => BlobStore): void {
  test("a blob under a legal hold is deleted only when the hold is taken off", async () => {
    const store = current();
    await store.put(scope, "k", text("held"));
    const hold = async (isOn: boolean): Promise<void> => await store.legalHold(scope, "k", isOn);
    if (!store.capabilities.canRetain) {
      await expect(hold(true)).rejects.toMatchObject(refusal("unsupported"));
      return;
    }
    await hold(true);
    await hold(true);
    expect(await store.protection(scope, "k")).toEqual({ isHeld: true });
    await expect(store.delete(scope, "k")).rejects.toMatchObject(refusal("conflict"));
    expect(await store.read(scope, "k")).toEqual(text("held"));
    await hold(false);
    await store.delete(scope, "k");
    expect(await store.read(scope, "k")).toBeUndefined();
    expect(await store.protection(scope, "k")).toBeUndefined();
  });

  test("what does not exist is neither retained nor held", async () => {
    const store = current();
    if (!store.capabilities.canRetain) return;
    const retention = { until: Date.now() + MINUTE_MS, mode: "compliance" } as const;
    await expect(store.retain(scope, "never", retention)).rejects.toMatchObject(refusal("refused"));
    await expect(store.legalHold(scope, "never", true)).rejects.toMatchObject(refusal("refused"));
  });
}
