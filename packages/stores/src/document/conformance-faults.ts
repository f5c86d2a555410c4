import { describe, expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";

import { runUntilKilled } from "../testing/killed-child.ts";
import { SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentFixture } from "./conformance-fixture.ts";

/** Kills and faults. */
export function describeFaults(current: () => DocumentFixture): void {
  const fill = async (): Promise<void> => {
    const fields = { kind: "x", tags: ["t"] };
    const records = ["a", "b", "c"].map((id) => ({ id, sequence: 1, fields }));
    await current().store.apply(TENANT_A, SAMPLES, deliver(...records));
    await current().store.settle(TENANT_A);
  };

  test("what was applied is there after reopening", async () => {
    await fill();
    const reopened = await current().reopen();
    expect(await idsOf(reopened, SAMPLES, { tags: "t" })).toEqual(["a", "b", "c"]);
    expect(await reopened.checkpoint(TENANT_A, SAMPLES)).toBe(1);
  });

  test("a writer that was killed leaves whole deliveries, all that were acknowledged among them", async () => {
    const module = new URL("../record-batch.ts", import.meta.url).href;
    const printed = await runUntilKilled(
      `const { makeBatch } = await import(${JSON.stringify(module)});
      const store = await (${current().childStore});
      const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
      const collection = ${JSON.stringify(SAMPLES)};
      for (let sequence = 1; ; sequence++) {
        const records = Array.from({ length: 200 }, (_, index) => ({
          id: sequence + "-" + index,
          sequence,
          text: JSON.stringify({ size: sequence, tags: ["t" + sequence], pad: "x".repeat(1000) }),
        }));
        await store.apply(scope, collection, {
          batches: [makeBatch("lab/sample", records)], checkpoint: sequence });
        process.stdout.write(sequence + "\\n");
      }`,
      40,
    );
    const store = await current().reopen();
    const checkpoint = await store.checkpoint(TENANT_A, SAMPLES);
    expect(checkpoint - printed.length).toBeOneOf([0, 1]);
    const count = (filter: unknown) => store.count(TENANT_A, SAMPLES, parseFilter(filter));
    expect(await count({})).toBe(checkpoint * 200);
    for (const sequence of [1, 20, checkpoint]) {
      expect(await count({ size: sequence })).toBe(200);
      expect(await count({ tags: `t${sequence}` })).toBe(200);
    }
    const digests = await store.digest(TENANT_A, SAMPLES, 1);
    expect(digests.every((digest) => digest.count === 200)).toBe(true);
    await store.apply(TENANT_A, SAMPLES, deliver({ id: "after", sequence: 9_999, fields: {} }));
    expect(await count({})).toBe(checkpoint * 200 + 1);
  });

  describe("faults", () => {
    test("damaged data is reported as corrupt", async ({ skip }) => {
      const corrupt = current().faults?.corrupt;
      if (corrupt === undefined) return skip("the engine cannot be made to fail so");
      await fill();
      await corrupt();
      const used = current()
        .reopen()
        .then((store) => store.find(TENANT_A, SAMPLES, { filter: parseFilter({}), limit: 10 }));
      await expect(used).rejects.toMatchObject({ name: "StoreError", code: "corrupt" });
    });

    test("a full store refuses the delivery whole, is read, and goes on when there is room", async ({
      skip,
    }) => {
      const full = current().faults?.full;
      if (full === undefined) return skip("the engine cannot be made to fail so");
      await fill();
      const store = await full();
      const records = Array.from({ length: 50 }, (_, index) => ({
        id: `large-${index}`,
        sequence: 2,
        fields: { kind: "large", pad: "x".repeat(1_000_000) },
      }));
      await expect(store.apply(TENANT_A, SAMPLES, deliver(...records))).rejects.toMatchObject({
        name: "StoreError",
        code: "full",
        retryable: true,
      });
      expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b", "c"]);
      expect(await store.checkpoint(TENANT_A, SAMPLES)).toBe(1);
      const reopened = await current().reopen();
      await reopened.apply(TENANT_A, SAMPLES, deliver(...records));
      expect(await idsOf(reopened, SAMPLES, { kind: "large" })).toHaveLength(50);
    });

    test("a store that may not be written says so, and is whole afterwards", async ({ skip }) => {
      const readOnly = current().faults?.readOnly;
      if (readOnly === undefined) return skip("the engine cannot be made to fail so");
      await fill();
      await readOnly(async () => {
        const store = await current().reopen();
        const applied = store.apply(
          TENANT_A,
          SAMPLES,
          deliver({ id: "d", sequence: 2, fields: {} }),
        );
        await expect(applied).rejects.toMatchObject({ name: "StoreError", code: "read-only" });
      });
      const store = await current().reopen();
      expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b", "c"]);
    });

    test("a locked store is unavailable to writers and goes on once the lock is gone", async ({
      skip,
    }) => {
      const lock = current().faults?.lock;
      if (lock === undefined) return skip("the engine cannot be made to fail so");
      await fill();
      const { store } = current();
      const delivery = deliver({ id: "d", sequence: 2, fields: {} });
      await lock(async () => {
        await expect(store.apply(TENANT_A, SAMPLES, delivery)).rejects.toMatchObject({
          name: "StoreError",
          code: "unavailable",
          retryable: true,
        });
        expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b", "c"]);
      });
      await store.apply(TENANT_A, SAMPLES, delivery);
      expect(await idsOf(store, SAMPLES, {})).toEqual(["a", "b", "c", "d"]);
    });
  });
}
