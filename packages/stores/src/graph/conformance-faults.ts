import { expect, test } from "vitest";

import { runUntilKilled } from "../testing/killed-child.ts";
import { TestJournal, ask, collection, scope, storedRows } from "./conformance-fixture.ts";
import type { CurrentGraph } from "./conformance-fixture.ts";

/** That nothing acknowledged is lost to a kill, and that a broken store says what is wrong with it. */
export function describeGraphFaults(current: CurrentGraph): void {
  test("after the writer was killed, every acknowledged delivery is there, and none is there in part", async () => {
    const { fixture, store } = current();
    await store[Symbol.asyncDispose]();
    const url = new URL("../record-batch.ts", import.meta.url).href;
    const printed = await runUntilKilled(
      `const { makeBatch } = await import(${JSON.stringify(url)});
      const store = await (${fixture.childStore});
      const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
      const collection = ${JSON.stringify(collection)};
      await store.prepare(scope, collection);
      for (let sequence = 1; ; sequence++) {
        const records = Array.from({ length: 20 }, (_, i) => ({
          id: sequence + "-" + i, sequence,
          text: JSON.stringify({ name: "h" + sequence + "-" + i, os: "x", services: ["s" + i] }),
        }));
        const batches = [makeBatch("test/host", records)];
        await store.apply(scope, collection, { batches, checkpoint: sequence });
        process.stdout.write(sequence + "\\n");
      }`,
      20,
    );
    const reopened = await fixture.reopen();
    const checkpoint = await reopened.checkpoint(scope, collection);
    expect(checkpoint - printed.length).toBeOneOf([0, 1]);
    expect(await ask(reopened, "MATCH (n:Host) RETURN count(*), max(n._sequence)")).toEqual([
      [20 * checkpoint, checkpoint],
    ]);
    const journal = new TestJournal();
    journal.sequence = checkpoint;
    await journal.deliver(reopened, [
      { type: "test/link", id: "1", fields: { from: "h1-0", to: "new" } },
    ]);
    expect(await ask(reopened, "MATCH (n:Host) WHERE n.id = 'h1-0' RETURN n._records")).toEqual([
      [2],
    ]);
  });

  test("a store whose files may not be written says read-only", async (context) => {
    const { fixture, store } = current();
    const readOnly = fixture.faults?.readOnly;
    if (readOnly === undefined) return context.skip("this engine cannot be made read-only");
    await store[Symbol.asyncDispose]();
    await readOnly(async () => {
      const reopened = await fixture.reopen();
      await expect(
        reopened.apply(scope, collection, { batches: [], checkpoint: 9 }),
      ).rejects.toMatchObject({ name: "StoreError", code: "read-only", retryable: false });
    });
  });

  test("a store that another process holds says unavailable, and works when it is let go", async (context) => {
    const { fixture, store } = current();
    const lock = fixture.faults?.lock;
    if (lock === undefined) return context.skip("this engine serves many processes");
    const journal = new TestJournal();
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "a", to: "b" } }]);
    await store[Symbol.asyncDispose]();
    const reopened = await fixture.reopen();
    await lock(async () => {
      await expect(reopened.checkpoint(scope, collection)).rejects.toMatchObject({
        name: "StoreError",
        code: "unavailable",
        retryable: true,
      });
    });
    expect(await storedRows(reopened)).toEqual(journal.expected());
  });

  test("a damaged store says corrupt, and can be discarded and built again", async (context) => {
    const { fixture, store } = current();
    const corrupt = fixture.faults?.corrupt;
    if (corrupt === undefined) return context.skip("this engine's files are out of reach");
    const journal = new TestJournal();
    await journal.deliver(store, [{ type: "test/link", id: "1", fields: { from: "a", to: "b" } }]);
    await store.settle(scope);
    await store[Symbol.asyncDispose]();
    await corrupt(async () => {
      const reopened = await fixture.reopen();
      await expect(reopened.checkpoint(scope, collection)).rejects.toMatchObject({
        name: "StoreError",
        code: "corrupt",
      });
      await reopened.discard(scope, collection);
      await new TestJournal().deliver(reopened, [
        { type: "test/link", id: "1", fields: { from: "a", to: "b" } },
      ]);
      expect(await storedRows(reopened)).toEqual(journal.expected());
    });
  });
}
