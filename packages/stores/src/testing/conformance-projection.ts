import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { parseJson } from "@custody/contract/json";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Scope } from "../scope.ts";
import type { Collection, ProjectedStore, RowDigest } from "../projected-store.ts";
import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { makeBatch } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import { runUntilKilled } from "./killed-child.ts";
import { scopeFor } from "./scope.ts";
import { makeTemporaryDirectory } from "./temporary-directory.ts";
import type { TemporaryDirectory } from "./temporary-directory.ts";

/** What a role's suite tells about a collection, so that the promises of every projection can be tried. */
export interface ProjectionCase<Placement> {
  readonly collection: Collection<Placement>;
  /** The same name and generation with another mapping. */
  readonly otherMapping: Collection<Placement>;
  /** JSON text of a record's fields; another version has other content. */
  readonly text: (number: number, version: number) => string;
  /** JSON texts with whatever makes engines stumble. */
  readonly strangeTexts: readonly string[];
  /** The content form, as the journal's side computes it. */
  readonly content: (fields: unknown) => string;
}

/** How an engine's test opens the engine, and hurts it. */
export interface ProjectionFixture<Store> {
  /** Opens the store whose data lie in `home`, a directory (a server engine makes it a name). */
  readonly open: (home: string, options?: { readonly ownerSalt: Uint8Array }) => Promise<Store>;
  /** How a process that will be killed opens the store: a module's URL, and source using `engine` and `home`. */
  readonly child: { readonly module: string; readonly open: string };
  readonly faults?: ProjectionFaults;
}

/** Ways to hurt a store that is closed; each is left out where the engine cannot be hurt so. */
export interface ProjectionFaults {
  /** Changes, removes or adds a row of tenant-a behind the store's back. */
  readonly tamper?: (home: string, how: "alter" | "lose" | "invent", id: string) => Promise<void>;
  /** Overwrites the middle of tenant-a's data. */
  readonly corrupt?: (home: string) => Promise<void>;
  /** Runs work while tenant-a's data may not be written. */
  readonly whileReadOnly?: (home: string, work: () => Promise<void>) => Promise<void>;
  /** Runs work while another process holds the lock of tenant-a's data. */
  readonly whileLocked?: (home: string, work: () => Promise<void>) => Promise<void>;
}

/** A record of a journal that never was; without text it is a deletion. */
export interface JournalRecord {
  readonly id: string;
  readonly sequence: number;
  readonly text?: string;
}

const scope = scopeFor("tenant-a");

/** One delivery of one batch. */
export function deliver(
  type: string,
  records: readonly JournalRecord[],
  checkpoint: number = Math.max(0, ...records.map(({ sequence }) => sequence)),
): Delivery {
  return { batches: [makeBatch(type, records)], checkpoint };
}

/** The contract of what every projected store does with deliveries, whatever its role. */
export function describeProjection<Placement, Store extends ProjectedStore<Placement>>(
  { open, child, faults = {} }: ProjectionFixture<Store>,
  one: ProjectionCase<Placement>,
): void {
  const { collection } = one;
  const type = Object.keys(collection.placements)[0] ?? "";
  const record = (number: number, sequence: number, version = 1): JournalRecord => ({
    id: idOf(number),
    sequence,
    text: one.text(number, version),
  });
  const removal = (number: number, sequence: number): JournalRecord => ({
    id: idOf(number),
    sequence,
  });
  const rowOf = ({ id, sequence, text = "" }: JournalRecord): RowDigest => ({
    id,
    sequence,
    hash: hashText(rowHash(id, sequence, one.content(JSON.parse(text)))),
  });

  describe("deliveries", () => {
    let home: TemporaryDirectory;
    let store: Store;
    beforeEach(async () => {
      home = await makeTemporaryDirectory();
      store = await open(home.path, { ownerSalt: new TextEncoder().encode("salt of the tests") });
      await store.prepare(scope, collection);
    });
    afterEach(async () => {
      await store[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    });
    const reopen = async (): Promise<void> => {
      await store[Symbol.asyncDispose]();
      store = await open(home.path);
    };
    const apply = async (...records: JournalRecord[]): Promise<void> =>
      await store.apply(scope, collection, deliver(type, records));
    const rows = async (of: Scope = scope, from = collection): Promise<readonly RowDigest[]> =>
      await allRows(store, of, from);

    test("what is applied is listed as the journal's side computes it", async () => {
      await apply(record(2, 1), record(1, 1), record(3, 2));
      expect(await rows()).toEqual([rowOf(record(1, 1)), rowOf(record(2, 1)), rowOf(record(3, 2))]);
      expect(await store.checkpoint(scope, collection)).toBe(2);
    });

    test("a digest equals that of the journal's side, bucket by bucket", async () => {
      const records = [record(1, 1), record(2, 4), record(3, 5), record(4, 12)];
      await apply(...records);
      const sums = new DigestSums(5);
      for (const one of records) sums.add(one.sequence, BigInt(`0x${rowOf(one).hash}`));
      const digests = await store.digest(scope, collection, 5);
      expect(digests).toEqual(sums.digests());
      expect(digests.map(({ bucket, count }) => [bucket, count])).toEqual([
        [0, 2],
        [1, 1],
        [2, 1],
      ]);
    });

    test("a delivery given twice changes nothing", async () => {
      await apply(record(1, 1), record(2, 2));
      await apply(record(1, 1, 9), record(2, 2, 9));
      expect(await rows()).toEqual([rowOf(record(1, 1)), rowOf(record(2, 2))]);
    });

    test("a newer version replaces the older one", async () => {
      await apply(record(1, 1), record(2, 1));
      await apply(record(1, 2, 2));
      expect(await rows()).toEqual([rowOf(record(2, 1)), rowOf(record(1, 2, 2))]);
    });

    test("an older version after a newer one changes nothing, in another delivery or the same", async () => {
      await apply(record(1, 5, 2));
      await apply(record(1, 3));
      await store.apply(scope, collection, {
        batches: [
          makeBatch(type, [record(2, 8, 2)]),
          makeBatch(type, [record(2, 7), record(3, 7)]),
        ],
        checkpoint: 8,
      });
      expect(await rows()).toEqual([
        rowOf(record(1, 5, 2)),
        rowOf(record(3, 7)),
        rowOf(record(2, 8, 2)),
      ]);
    });

    test("a deleted record is gone, and an older version does not bring it back", async () => {
      await apply(record(1, 1), record(2, 1));
      await store.apply(scope, collection, {
        batches: [makeBatch(type, [removal(1, 4)]), makeBatch(type, [record(1, 3, 2)])],
        checkpoint: 4,
      });
      await apply(record(1, 2, 2));
      expect(await rows()).toEqual([rowOf(record(2, 1))]);
      await apply(record(1, 5, 3));
      expect(await rows()).toEqual([rowOf(record(2, 1)), rowOf(record(1, 5, 3))]);
    });

    test("a deletion of what never was is no error", async () => {
      await apply(removal(7, 1));
      expect(await rows()).toEqual([]);
      expect(await store.checkpoint(scope, collection)).toBe(1);
    });

    test("an empty delivery moves the checkpoint, an older one does not move it back", async () => {
      await store.apply(scope, collection, { batches: [], checkpoint: 12 });
      await store.apply(scope, collection, { batches: [], checkpoint: 7 });
      expect(await store.checkpoint(scope, collection)).toBe(12);
    });

    test("a delivery read from beyond the checkpoint is a conflict, and nothing of it is written", async () => {
      await apply(record(1, 5));
      const beyond = { ...deliver(type, [record(1, 9, 2), record(2, 9)]), after: 6 };
      await expect(store.apply(scope, collection, beyond)).rejects.toMatchObject({
        name: "StoreError",
        code: "conflict",
      });
      expect(await rows()).toEqual([rowOf(record(1, 5))]);
      expect(await store.checkpoint(scope, collection)).toBe(5);
    });

    test("a delivery read from the checkpoint or from before is taken, save what is known of it", async () => {
      await apply(record(1, 5));
      const at = { ...deliver(type, [record(2, 7)]), after: 5 };
      await store.apply(scope, collection, at);
      const before = { ...deliver(type, [record(1, 5, 9), record(3, 9)]), after: 4 };
      await store.apply(scope, collection, before);
      expect(await rows()).toEqual([rowOf(record(1, 5)), rowOf(record(2, 7)), rowOf(record(3, 9))]);
      expect(await store.checkpoint(scope, collection)).toBe(9);
    });

    test("a store that is emptied takes a delivery from its beginning only", async () => {
      await apply(record(1, 5));
      await store.discard(scope, collection);
      await store.prepare(scope, collection);
      await expect(
        store.apply(scope, collection, { batches: [], checkpoint: 6, after: 5 }),
      ).rejects.toMatchObject({ name: "StoreError", code: "conflict" });
      expect(await store.checkpoint(scope, collection)).toBe(0);
      await store.apply(scope, collection, { ...deliver(type, [record(1, 5)]), after: 0 });
      expect(await rows()).toEqual([rowOf(record(1, 5))]);
    });

    test("ten thousand records in one delivery are all there, and can be changed and deleted", async () => {
      const records = Array.from({ length: 10_000 }, (_, n) =>
        record(n, 1 + Math.floor(n / 1_000)),
      );
      await apply(...records);
      expect((await store.statistics(scope)).collections).toEqual([
        { name: collection.name, generation: collection.generation, records: 10_000 },
      ]);
      expect(await rows()).toEqual(sortedRows(records.map(rowOf)));
      await apply(
        ...records.slice(0, 5_000).map((_, n) => record(n, 11, 2)),
        ...records.slice(5_000).map((_, n) => removal(n + 5_000, 11)),
      );
      const changed = records.slice(0, 5_000).map((_, n) => rowOf(record(n, 11, 2)));
      expect(await rows()).toEqual(sortedRows(changed));
      await store.settle(scope);
      expect(await rows()).toEqual(sortedRows(changed));
    });

    test.each(one.strangeTexts.map((text) => [text.slice(0, 60), text] as const))(
      "a strange record has the journal's content: %s",
      async (_, text) => {
        const strange = { id: "a'b\"; DROP TABLE x; -- ../../é\u{1F600}", sequence: 1, text };
        await apply(strange, record(2, 1));
        await reopen();
        const expected = hashText(rowHash(strange.id, 1, one.content(parseJson(text))));
        expect((await rows()).find(({ id }) => id === strange.id)?.hash).toBe(expected);
        await apply({ id: strange.id, sequence: 2 });
        expect(await rows()).toEqual([rowOf(record(2, 1))]);
      },
    );

    test("tenants and owners never see each other's rows", async () => {
      const scopes = [
        scope,
        scopeFor("tenant-b"),
        scopeFor("tenant-a", "ana"),
        scopeFor("tenant-a", "ben"),
      ];
      for (const [index, of] of scopes.entries()) {
        await store.prepare(of, collection);
        await store.apply(of, collection, deliver(type, [record(index, 1)]));
      }
      for (const [index, of] of scopes.entries()) {
        expect(await rows(of)).toEqual([rowOf(record(index, 1))]);
      }
    });

    test("a tenant's name that is none is refused", async () => {
      await expect(store.checkpoint(scopeFor("../tenant-a"), collection)).rejects.toMatchObject({
        code: "invalid-id",
      });
    });

    test("owners are refused where no salt was given", async () => {
      await reopen();
      await expect(store.prepare(scopeFor("tenant-a", "ana"), collection)).rejects.toMatchObject({
        name: "StoreError",
        code: "unsupported",
      });
    });

    test("generations stand side by side, and discarding one leaves the other", async () => {
      const next = { ...collection, generation: collection.generation + 1 };
      await store.prepare(scope, next);
      await apply(record(1, 1));
      await store.apply(scope, next, deliver(type, [record(2, 3)]));
      await store.discard(scope, collection);
      await store.discard(scope, collection);
      expect(await rows()).toEqual([]);
      expect(await store.checkpoint(scope, collection)).toBe(0);
      expect(await rows(scope, next)).toEqual([rowOf(record(2, 3))]);
      expect(await store.checkpoint(scope, next)).toBe(3);
    });

    test("what was discarded is built anew from the journal", async () => {
      await apply(record(1, 1), record(2, 2));
      await store.discard(scope, collection);
      await store.prepare(scope, collection);
      await apply(record(1, 1), record(2, 2));
      expect(await rows()).toEqual([rowOf(record(1, 1)), rowOf(record(2, 2))]);
    });

    test("preparing again changes nothing, with another mapping it is refused", async () => {
      await apply(record(1, 1));
      await store.prepare(scope, collection);
      expect(await rows()).toEqual([rowOf(record(1, 1))]);
      await expect(store.prepare(scope, one.otherMapping)).rejects.toMatchObject({
        name: "StoreError",
        code: "refused",
      });
    });

    test("a delivery with a record of another type is refused, and nothing of it is written", async () => {
      const batches = [makeBatch(type, [record(1, 1)]), makeBatch("other/type", [record(2, 1)])];
      await expect(
        store.apply(scope, collection, { batches, checkpoint: 1 }),
      ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      expect(await rows()).toEqual([]);
      expect(await store.checkpoint(scope, collection)).toBe(0);
    });

    test("writing what was never prepared is refused, reading it finds nothing", async () => {
      const unknown = { ...collection, generation: 99 };
      await expect(
        store.apply(scope, unknown, deliver(type, [record(1, 1)])),
      ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      expect(await rows(scope, unknown)).toEqual([]);
      expect(await store.digest(scope, unknown, 10)).toEqual([]);
    });

    test("repair makes rows equal to the batch whatever is stored, and leaves the checkpoint", async () => {
      await apply(record(1, 5, 2), record(2, 5), record(3, 5));
      await store.repair(
        scope,
        collection,
        makeBatch(type, [record(1, 3), removal(2, 2), record(4, 1)]),
      );
      expect(await rows()).toEqual([rowOf(record(4, 1)), rowOf(record(1, 3)), rowOf(record(3, 5))]);
      expect(await store.checkpoint(scope, collection)).toBe(5);
    });

    test("a list is given in pages, in a range, and only with a cursor of its own", async () => {
      const records = Array.from({ length: 25 }, (_, n) => record(n, Math.floor(n / 10)));
      await apply(...records.map((one) => ({ ...one, sequence: one.sequence + 1 })));
      const range = { fromSequence: 1, toSequence: 3, limit: 7 };
      const first = await store.list(scope, collection, range);
      expect(first.rows.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6].map(idOf));
      const ids = (await allRows(store, scope, collection, range)).map(({ id }) => id);
      expect(ids).toEqual(Array.from({ length: 20 }, (_, n) => idOf(n)));
      await expect(
        store.list(scope, collection, { ...range, cursor: "bm9uZQ" }),
      ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      await expect(store.list(scope, collection, { ...range, limit: 0 })).rejects.toMatchObject({
        code: "limit",
      });
    });

    test("what was acknowledged is there after the process was killed in the midst of its work", async () => {
      await store[Symbol.asyncDispose]();
      const acknowledged = await runUntilKilled(childSource(child, home.path, one), 4);
      store = await open(home.path);
      const checkpoint = await store.checkpoint(scope, collection);
      expect(checkpoint).toBeGreaterThanOrEqual(acknowledged.length);
      const written = Array.from({ length: checkpoint }, (_, index) =>
        Array.from({ length: 50 }, (_, n) => record(index * 50 + n, index + 1)),
      );
      expect(await rows()).toEqual(sortedRows(written.flat().map(rowOf)));
      await apply(record(1, checkpoint + 1, 2));
      expect(await store.checkpoint(scope, collection)).toBe(checkpoint + 1);
    });

    test.runIf(faults.tamper !== undefined)(
      "a row changed, lost or added behind the store's back is found, and only that row",
      async () => {
        const records = [1, 2, 3, 4].map((n) => record(n, 1));
        await apply(...records);
        for (const [how, number] of [
          ["alter", 1],
          ["lose", 2],
          ["invent", 9],
        ] as const) {
          await store[Symbol.asyncDispose]();
          await faults.tamper?.(home.path, how, idOf(number));
          store = await open(home.path);
        }
        const stored = new Map((await rows()).map((row) => [row.id, row.hash]));
        const wanted = new Map(records.map((one) => [one.id, rowOf(one).hash]));
        const ids = new Set([...stored.keys(), ...wanted.keys()]);
        const different = [...ids].filter((id) => stored.get(id) !== wanted.get(id));
        expect(different.sort()).toEqual([1, 2, 9].map(idOf));
        await store.repair(
          scope,
          collection,
          makeBatch(type, [record(1, 1), record(2, 1), removal(9, 1)]),
        );
        expect(await rows()).toEqual(records.map(rowOf));
      },
    );

    test.runIf(faults.corrupt !== undefined)(
      "a damaged store says that it is corrupt",
      async () => {
        await apply(...Array.from({ length: 2_000 }, (_, n) => record(n, 1)));
        await store.settle(scope);
        await store[Symbol.asyncDispose]();
        await faults.corrupt?.(home.path);
        store = await open(home.path);
        await expect(
          (async () => {
            await store.digest(scope, collection, 10);
            await rows();
          })(),
        ).rejects.toMatchObject({ name: "StoreError", code: "corrupt" });
      },
    );

    test.runIf(faults.whileReadOnly !== undefined)(
      "a store that may not be written says that it is read-only",
      async () => {
        await apply(record(1, 1));
        await store[Symbol.asyncDispose]();
        await faults.whileReadOnly?.(home.path, async () => {
          store = await open(home.path);
          await expect(apply(record(2, 2))).rejects.toMatchObject({
            name: "StoreError",
            code: "read-only",
          });
        });
      },
    );

    test.runIf(faults.whileLocked !== undefined)(
      "a locked store is unavailable, may be tried again, and has kept what it had",
      async () => {
        await apply(record(1, 1));
        await faults.whileLocked?.(home.path, async () => {
          await expect(apply(record(2, 2))).rejects.toMatchObject({
            name: "StoreError",
            code: "unavailable",
            retryable: true,
          });
        });
        await apply(record(2, 2));
        expect(await rows()).toEqual([rowOf(record(1, 1)), rowOf(record(2, 2))]);
      },
    );
  });
}

/** Ids in order of their numbers. */
function idOf(number: number): string {
  return `2026-11-21-${String(number).padStart(6, "0")}`;
}

interface RowRange {
  readonly fromSequence: number;
  readonly toSequence: number;
  readonly limit: number;
}

const EVERY_ROW: RowRange = {
  fromSequence: 0,
  toSequence: Number.MAX_SAFE_INTEGER,
  limit: 1_000,
};

/** Every row of a range, page by page. */
export async function allRows<Placement>(
  store: ProjectedStore<Placement>,
  scope: Scope,
  collection: Collection<Placement>,
  range: RowRange = EVERY_ROW,
): Promise<readonly RowDigest[]> {
  const rows: RowDigest[] = [];
  let cursor: string | undefined;
  do {
    const asked = cursor === undefined ? range : { ...range, cursor };
    const page = await store.list(scope, collection, asked);
    rows.push(...page.rows);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return rows;
}

function sortedRows(rows: readonly RowDigest[]): readonly RowDigest[] {
  return [...rows].sort((a, b) => a.sequence - b.sequence || (a.id < b.id ? -1 : 1));
}

/** A program that applies fifty records a delivery for ever, and prints each checkpoint it was told. */
function childSource<Placement>(
  child: ProjectionFixture<unknown>["child"],
  home: string,
  { collection, text }: ProjectionCase<Placement>,
): string {
  const type = Object.keys(collection.placements)[0] ?? "";
  const file = join(home, "deliveries.json");
  const texts = Array.from({ length: 5_000 }, (_, number) => text(number, 1));
  writeFileSync(file, JSON.stringify({ collection, texts }));
  return `
    import { readFileSync, writeSync } from "node:fs";
    import * as engine from ${JSON.stringify(child.module)};
    import { makeBatch } from ${JSON.stringify(new URL("../record-batch.ts", import.meta.url).href)};
    const home = ${JSON.stringify(home)};
    const store = await ${child.open};
    const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
    const { collection, texts } = JSON.parse(readFileSync(${JSON.stringify(file)}, "utf8"));
    await store.prepare(scope, collection);
    for (let sequence = 1; sequence <= 100; sequence += 1) {
      const first = (sequence - 1) * 50;
      const records = texts.slice(first, first + 50).map((text, index) => ({
        id: "2026-11-21-" + String(first + index).padStart(6, "0"), sequence, text,
      }));
      await store.apply(scope, collection, {
        batches: [makeBatch(${JSON.stringify(type)}, records)], checkpoint: sequence,
      });
      writeSync(1, sequence + "\\n");
    }
    setInterval(() => {}, 1_000);`;
}
