import { describe, expect, test } from "vitest";

import { runUntilKilled } from "../testing/killed-child.ts";
import { TENANT_A, commitAfter, commitEntries } from "./conformance-journal-fixture.ts";
import type { JournalFixture } from "./conformance-journal-fixture.ts";

const FIXTURE_MODULE = new URL("./conformance-journal-fixture.ts", import.meta.url).href;

/** Kills and faults. */
export function describeJournalFaults(current: () => JournalFixture): void {
  test("what was committed is there after reopening", async () => {
    await commitEntries(current().store, [{ ids: ["a"] }]);
    const reopened = await current().reopen();
    expect((await reopened.head(TENANT_A))?.sequence).toBe(1);
    expect(await reopened.lookup(TENANT_A, "lab/sample", ["a"])).toMatchObject([{ sequence: 1 }]);
    expect((await commitEntries(reopened, [{ ids: ["b"] }])).sequence).toBe(2);
  });

  test("a transaction that was open when the store was closed is taken back", async () => {
    const { store } = current();
    const transaction = await store.begin(TENANT_A);
    await transaction.append(commitAfter(transaction.head, [{ ids: ["a"] }]));
    const reopened = await current().reopen();
    expect(await reopened.head(TENANT_A)).toBeUndefined();
    expect((await commitEntries(reopened, [{ ids: ["b"] }])).sequence).toBe(1);
  });

  test("every commit that was answered is there after the writer was killed, and none in part", async () => {
    const printed = await runUntilKilled(
      `const { commitEntries } = await import(${JSON.stringify(FIXTURE_MODULE)});
      const store = await (${current().childStore});
      for (let commit = 1; ; commit++) {
        const ids = Array.from({ length: 500 }, (_, index) => commit + "-" + index);
        const head = await commitEntries(store, [{ ids }, { type: "lab/other" }]);
        process.stdout.write(head.sequence + "\\n");
      }`,
      30,
    );
    const store = await current().reopen();
    const head = await store.head(TENANT_A);
    const sequence = head?.sequence ?? 0;
    expect(sequence - Number(printed.at(-1))).toBeOneOf([0, 2]);
    const entries = await store.entries(TENANT_A, { after: 0, limit: 10_000 });
    expect(entries.map((entry) => entry.sequence)).toEqual(
      Array.from({ length: sequence }, (_, index) => index + 1),
    );
    const commits = sequence / 2;
    const total = commits * 500;
    expect(await store.count(TENANT_A, "lab/sample")).toEqual({ live: total, total });
    const ids = Array.from({ length: commits }, (_, index) => `${index + 1}-499`);
    const found = await store.lookup(TENANT_A, "lab/sample", [...ids, `${commits + 1}-0`]);
    expect(found.map((at) => at?.sequence)).toEqual([...ids.map((_, i) => 2 * i + 1), undefined]);
    expect((await commitEntries(store, [{ ids: ["after"] }])).sequence).toBe(sequence + 1);
  });

  test("a writer killed in the middle of a transaction leaves nothing of it", async () => {
    await commitEntries(current().store, [{ ids: ["before"] }]);
    await runUntilKilled(
      `const { commitAfter, TENANT_A } = await import(${JSON.stringify(FIXTURE_MODULE)});
      const store = await (${current().childStore});
      const transaction = await store.begin(TENANT_A);
      const ids = Array.from({ length: 100_000 }, (_, index) => "in-" + index);
      await transaction.append(commitAfter(transaction.head, [{ ids }]));
      process.stdout.write("appended\\n");
      setInterval(() => undefined, 1_000);`,
      1,
    );
    const store = await current().reopen();
    expect((await store.head(TENANT_A))?.sequence).toBe(1);
    expect(await store.lookup(TENANT_A, "lab/sample", ["in-0", "in-99999"])).toEqual([
      undefined,
      undefined,
    ]);
    expect(await store.count(TENANT_A, "lab/sample")).toEqual({ live: 1, total: 1 });
    expect((await commitEntries(store, [{ ids: ["in-0"] }])).sequence).toBe(2);
  });

  describe("faults", () => {
    test("damaged data is reported as corrupt", async ({ skip }) => {
      const corrupt = current().faults?.corrupt;
      if (corrupt === undefined) return skip("the engine cannot be made to fail so");
      await commitEntries(current().store, [{ ids: ["a"] }]);
      await corrupt();
      const checked = current()
        .reopen()
        .then((store) => store.check());
      await expect(checked).rejects.toMatchObject({ name: "StoreError", code: "corrupt" });
    });

    test("a full journal refuses the commit whole, and goes on when there is room", async ({
      skip,
    }) => {
      const full = current().faults?.full;
      if (full === undefined) return skip("the engine cannot be made to fail so");
      await commitEntries(current().store, [{ ids: ["a"] }]);
      const store = await full();
      const transaction = await store.begin(TENANT_A);
      const fits = commitAfter(transaction.head, [{ ids: ["b"] }]);
      await transaction.append(fits);
      const lines = new Uint8Array(50_000_000);
      const tooLarge = transaction.append(commitAfter(fits.head, [{ ids: ["c"], lines }]));
      await expect(tooLarge).rejects.toMatchObject({ name: "StoreError", code: "full" });
      const ended = await transaction.commit().then(
        () => 2,
        () => 1,
      );
      expect((await store.head(TENANT_A))?.sequence).toBe(ended);
      expect(await store.lookup(TENANT_A, "lab/sample", ["c"])).toEqual([undefined]);
      const reopened = await current().reopen();
      const head = await commitEntries(reopened, [{ ids: ["c"], lines }]);
      expect(head.sequence).toBe(ended + 1);
      expect(await reopened.inlineLines(TENANT_A, ended + 1)).toHaveLength(50_000_000);
    });

    test("a journal that may not be written says so, and is whole afterwards", async ({ skip }) => {
      const readOnly = current().faults?.readOnly;
      if (readOnly === undefined) return skip("the engine cannot be made to fail so");
      await commitEntries(current().store, [{ ids: ["a"] }]);
      await readOnly(async () => {
        const used = current()
          .reopen()
          .then((store) => commitEntries(store, [{ ids: ["b"] }]));
        await expect(used).rejects.toMatchObject({ name: "StoreError", code: "read-only" });
      });
      const store = await current().reopen();
      expect((await store.head(TENANT_A))?.sequence).toBe(1);
    });

    test("a lock of another process makes writers unavailable, readers not", async ({ skip }) => {
      const lock = current().faults?.lock;
      if (lock === undefined) return skip("the engine cannot be made to fail so");
      const { store } = current();
      await commitEntries(store, [{ ids: ["a"] }]);
      await lock(async () => {
        await expect(store.begin(TENANT_A)).rejects.toMatchObject({
          name: "StoreError",
          code: "unavailable",
          retryable: true,
        });
        await expect(store.putState(TENANT_A, "n", "v")).rejects.toMatchObject({
          code: "unavailable",
        });
        expect((await store.head(TENANT_A))?.sequence).toBe(1);
      });
      expect((await commitEntries(store, [{ ids: ["b"] }])).sequence).toBe(2);
    });
  });
}
