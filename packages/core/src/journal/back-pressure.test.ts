import type { JournalStore } from "@custody/stores/relational/journal";
import { afterEach, expect, test } from "vitest";

import { ADMISSION_SETTINGS } from "./admission.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import type { DiskSpace } from "../runtime.ts";
import type { Stores } from "../stores.ts";

const MIB = 1024 * 1024;

let installation: Installation;
afterEach(() => installation[Symbol.asyncDispose]());

const put = (id: string): Promise<{ readonly entries: readonly unknown[] }> =>
  installation.custody.commit(scope, [{ type: "sample/attempts", put: [{ fields: attempt(id) }] }]);

/** The stores, whose journal begins no transaction until it is let. */
function held(gate: Promise<void>): (stores: Stores) => Stores {
  return (stores) => ({
    ...stores,
    journal: async () => {
      const journal = await stores.journal();
      return new Proxy(journal, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target);
          if (typeof member !== "function") return member;
          if (name !== "begin") return member.bind(target) as unknown;
          return async (...args: Parameters<JournalStore["begin"]>) => {
            await gate;
            return target.begin(...args);
          };
        },
      });
    },
  });
}

test("writers beyond the limit are told at once and nothing of theirs is written; those who were taken all are", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  installation = await openInstallation({
    settings: { admission: { ...ADMISSION_SETTINGS, commitsMax: 10 } },
    wrapStores: held(promise),
  });
  const outcomes = Array.from({ length: 25 }, async (_, index) => {
    try {
      await put(`a${index}`);
      return "taken";
    } catch (cause) {
      return cause instanceof Error && "code" in cause ? cause.code : cause;
    }
  });
  // Those who are told need not wait for those who are taken.
  expect(await Promise.all(outcomes.slice(10))).toEqual(Array(15).fill("busy"));
  resolve();
  expect(await Promise.all(outcomes.slice(0, 10))).toEqual(Array(10).fill("taken"));
  expect((await installation.custody.status(scope)).entries).toBe(10);
  await put("a24");
  expect((await installation.custody.status(scope)).entries).toBe(11);
});

test("bytes that wait are bounded as well", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  installation = await openInstallation({
    settings: { admission: { ...ADMISSION_SETTINGS, bytesMax: 3_000 } },
    wrapStores: held(promise),
  });
  const large = (id: string): Promise<unknown> =>
    installation.custody.commit(scope, [
      {
        type: "sample/attempts",
        put: [{ fields: attempt(id, { prompt: "x".repeat(2_000) }) }],
      },
    ]);
  const first = large("a1");
  await expect(large("a2")).rejects.toMatchObject({ code: "busy", retryAfterMs: 1_000 });
  resolve();
  await first;
  await large("a2");
});

/** An installation on a disk of 10 GiB, of which 512 MiB are kept free. */
async function onDisk(): Promise<{ freeMib: number; readonly notices: string[] }> {
  const disk = { freeMib: 5_000, notices: [] as string[] };
  const space = async (): Promise<readonly DiskSpace[]> => [
    { place: "the data", freeBytes: disk.freeMib * MIB, totalBytes: 10_240 * MIB },
  ];
  installation = await openInstallation({ space, onNotice: (text) => disk.notices.push(text) });
  return disk;
}

test("a disk that is nearly full refuses new records, and still answers, replays, verifies, deletes and writes its audit log", async () => {
  const disk = await onDisk();
  const { custody, clock } = installation;
  await custody.commit(scope, [
    { type: "sample/assets", put: [{ fields: { name: "gateway", owner: "ana", risk: 3 } }] },
  ]);
  const again = { idempotencyKey: "the first" };
  const parts = [{ type: "sample/attempts", put: [{ fields: attempt("a1") }] }];
  await custody.commit(scope, parts, again);
  await custody.catchUp(scope);
  disk.freeMib = 500;
  clock.nowMs += 1_000;
  expect((await custody.commit(scope, parts, again)).isReplay).toBe(true);
  await expect(put("a2")).rejects.toMatchObject({
    code: "full",
    retryable: true,
    message: expect.stringContaining("500 MiB are free at the data and 640 MiB are needed"),
  });
  await expect(
    custody.blob.put(
      scope,
      "reports/one",
      (async function* () {
        yield Uint8Array.of(1);
      })(),
    ),
  ).rejects.toMatchObject({ code: "full" });
  // Until the old segments are dropped a compaction needs room for both.
  await expect(custody.compact(scope)).rejects.toMatchObject({ code: "full" });
  expect((await custody.get(scope, "sample/attempts", "a1"))?.id).toBe("a1");
  expect((await custody.find(scope, "sample/attempts")).records).toHaveLength(1);
  await custody.commit(scope, [{ type: "sample/assets", delete: ["gateway"] }]);
  expect(await custody.get(scope, "sample/assets", "gateway")).toBeUndefined();
  expect(await custody.verify(scope)).toMatchObject({ ok: true });
  expect((await custody.status(scope)).disks).toEqual([
    {
      place: "the data",
      freeBytes: 500 * MIB,
      totalBytes: 10_240 * MIB,
      neededBytes: 640 * MIB,
      isLow: true,
    },
  ]);
});

test("stores wait with a notice while the disk is nearly full, and go on by themselves when there is room", async () => {
  const disk = await onDisk();
  const { custody, clock } = installation;
  await custody.commit(scope, [
    { type: "sample/assets", put: [{ fields: { name: "gateway", owner: "ana", risk: 3 } }] },
  ]);
  await custody.catchUp(scope);
  disk.freeMib = 500;
  clock.nowMs += 1_000;
  await custody.commit(scope, [{ type: "sample/assets", delete: ["gateway"] }]);
  const waiting = custody.catchUp(scope, ["document"]);
  await until(() => disk.notices.some((text) => text.startsWith("waiting for document")));
  expect((await custody.status(scope)).roles.document.condition).toBe("waiting");
  disk.freeMib = 5_000;
  clock.nowMs += 1_000;
  await waiting;
  await put("a1");
  await custody.catchUp(scope);
  expect((await custody.count(scope, "sample/assets")).count).toBe(0);
  expect((await custody.count(scope, "sample/attempts")).count).toBe(1);
  expect(disk.notices.filter((text) => /^the disk is|^there is room/.test(text))).toEqual([
    "the disk is nearly full: 500 MiB are free at the data; writes are refused and stores wait until 640 MiB are, reads go on",
    "there is room again at the data: 5000 MiB are free, and writes are taken",
  ]);
});

/** Waits for a condition, and fails when it does not come. */
async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error("it did not come to that within 10 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
