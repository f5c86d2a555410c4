import { afterEach, beforeEach, expect, test } from "vitest";

import type { BlobStore } from "@custody/stores/blob/port";
import { StoreError } from "@custody/stores/errors";
import type { JournalStore } from "@custody/stores/relational/journal";

import { INTENT_LEASE_MS } from "../journal/line-store.ts";
import type { Stores } from "../stores.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";

/** The stores, of which the blob store removes nothing. */
function withoutRemoval(stores: Stores): Stores {
  return {
    ...stores,
    blob: async () => ({
      ...(await stores.blob()),
      delete: () => Promise.reject(new StoreError("unavailable", "the process was killed")),
    }),
  };
}

const filesOf = async ({ stores }: Installation): Promise<readonly string[]> => {
  const found = await (await stores.blob()).list(scope, "segments/", { limit: 100 });
  return found.map(({ key }) => key);
};
const intentsOf = async ({ stores, clock }: Installation): Promise<readonly unknown[]> =>
  (await stores.journal()).takeExpiredIntents(scope, clock.nowMs + 2 * INTENT_LEASE_MS, 10);

async function* half(): AsyncGenerator<Uint8Array> {
  yield Buffer.from("half a segment");
}

/** Begins a segment as a writer does that then dies. */
async function leaveHalf({ stores, clock }: Installation): Promise<void> {
  const blobKey = "segments/2026-04/left.segment";
  const expiresAt = clock.nowMs + INTENT_LEASE_MS;
  const intent = { segmentId: "left", blobKey, expiresAt };
  await (await stores.journal()).putIntent(scope, intent);
  await (await stores.blob()).put(scope, blobKey, half());
}

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation({ wrapStores: withoutRemoval });
  const put = [{ fields: attempt("r1") }];
  await installation.custody.commit(scope, [{ type: "sample/attempts", put }]);
});
afterEach(() => installation[Symbol.asyncDispose]());

test("what a collector that died has taken is removed by the next one", async () => {
  await leaveHalf(installation);
  installation.clock.nowMs += INTENT_LEASE_MS + 1;
  await expect(installation.custody.compact(scope)).rejects.toMatchObject({ code: "unavailable" });
  expect(await filesOf(installation)).toEqual(["segments/2026-04/left.segment"]);
  installation = await installation.reopen();
  await installation.custody.compact(scope);
  const [merged, ...others] = await filesOf(installation);
  expect([merged === "segments/2026-04/left.segment", others]).toEqual([false, []]);
  expect(await intentsOf(installation)).toEqual([]);
});

test("a writer's file is left alone until its lease is over", async () => {
  await leaveHalf(installation);
  installation.clock.nowMs += INTENT_LEASE_MS;
  installation = await installation.reopen();
  await installation.custody.compact(scope);
  expect(await filesOf(installation)).toContain("segments/2026-04/left.segment");
});

test("segments that a compaction has dropped and not removed are removed at once by the next one", async () => {
  const compact = () => installation.custody.compact(scope);
  await compact();
  const [old = ""] = await filesOf(installation);
  const put = [{ fields: attempt("r2") }];
  await installation.custody.commit(scope, [{ type: "sample/attempts", put }]);
  await compact();
  expect(await filesOf(installation)).toContain(old);
  installation = await installation.reopen();
  await compact();
  expect(await filesOf(installation)).not.toContain(old);
  expect(await installation.custody.get(scope, "sample/attempts", "r1")).toBeDefined();
  expect((await installation.custody.verify(scope)).fault).toBeUndefined();
  expect(await intentsOf(installation)).toEqual([]);
});

test("a writer that slept for longer than its lease takes away the file it writes late, and says so", async () => {
  await installation[Symbol.asyncDispose]();
  let isAsleep = true;
  installation = await openInstallation({
    wrapStores: (stores) => ({
      ...stores,
      blob: async () => {
        const blob = await stores.blob();
        const put: BlobStore["put"] = async (...args) => {
          if (isAsleep) await collectMeanwhile(await stores.journal(), installation.clock);
          isAsleep = false;
          return await blob.put(...args);
        };
        return { ...blob, put };
      },
    }),
  });
  const words = Array.from({ length: 4_000 }, (_, word) => `word ${word}`).join(" ");
  const put = [{ fields: { ...attempt("r1"), prompt: words } }];
  const commit = () => installation.custody.commit(scope, [{ type: "sample/attempts", put }]);
  await expect(commit()).rejects.toMatchObject({ name: "StoreError", code: "unavailable" });
  expect(await filesOf(installation)).toEqual([]);
  await commit();
  expect(await filesOf(installation)).toHaveLength(1);
});

/** A day passes, and a collector takes what it finds. */
async function collectMeanwhile(journal: JournalStore, clock: { nowMs: number }): Promise<void> {
  clock.nowMs += INTENT_LEASE_MS + 1;
  const taken = await journal.takeExpiredIntents(scope, clock.nowMs, 10);
  await journal.dropIntents(
    scope,
    taken.map(({ segmentId }) => segmentId),
  );
}
