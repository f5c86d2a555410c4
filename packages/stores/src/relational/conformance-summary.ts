import { parseFilter } from "@custody/contract/filter";
import type { SummaryDeclaration } from "@custody/contract/summary";
import { describe, expect, test } from "vitest";

import { hashText, rowHash } from "../content-form.ts";
import { makeBatch } from "../record-batch.ts";
import type { Cell } from "../analytics/port.ts";
import { allRows } from "../testing/conformance-projection.ts";
import { scopeFor } from "../testing/scope.ts";
import { ATTEMPT, BY_MODEL, SPANS, summaryCollection } from "./conformance-case.ts";
import { summaryContent } from "./content.ts";
import type { RelationalStore } from "./port.ts";

const scope = scopeFor("tenant-a");
const COLLECTION = summaryCollection(BY_MODEL);
const ALL = parseFilter({});

/** A change of a record: its fields before and after, as JSON text. */
export interface Change {
  readonly id: string;
  readonly sequence: number;
  readonly text?: string;
  readonly previousText?: string;
}

/** What a summary promises, by hand-made examples. */
export function describeSummaries(open: () => RelationalStore): void {
  describe("summaries", () => {
    const apply = async (
      changes: readonly Change[],
      checkpoint: number,
      { after, of = BY_MODEL }: { readonly after?: number; readonly of?: SummaryDeclaration } = {},
    ): Promise<void> => {
      await open().prepare(scope, summaryCollection(of));
      await open().apply(scope, summaryCollection(of), {
        batches: [makeBatch(ATTEMPT, changes)],
        checkpoint,
        ...(after === undefined ? {} : { after }),
      });
    };
    const rows = async (
      of: SummaryDeclaration = BY_MODEL,
    ): Promise<readonly Readonly<Record<string, Cell>>[]> =>
      (await open().select(scope, summaryCollection(of), { filter: ALL, limit: 100 })).rows;
    const text = (fields: Readonly<Record<string, unknown>>): string => JSON.stringify(fields);
    const first = text({
      model: "x",
      refused: false,
      verdict: "harmful",
      tokens: 10,
      harm: 0.1,
      findings: ["f", "g", "f"],
      latency: 50,
    });
    const second = text({
      model: "x",
      refused: false,
      tokens: 5,
      harm: 0.2,
      findings: ["g"],
      latency: 100,
    });
    const X_ROW = {
      model: "x",
      refused: "false",
      attempts: 2,
      harmful: 1,
      tokens: 15,
      harm: 0.30000000000000004,
      findings: { f: 2, g: 2 },
      harmful_findings: { f: 2, g: 1 },
      latency: { "<100": 1, ">=100": 1 },
    };

    test("records are summed up in one row a group, with every measure", async () => {
      await apply(
        [
          { id: "a", sequence: 1, text: first },
          { id: "b", sequence: 1, text: second },
          { id: "c", sequence: 1, text: "{}" },
        ],
        1,
      );
      expect(await rows()).toEqual([
        X_ROW,
        {
          model: null,
          refused: null,
          attempts: 1,
          harmful: 0,
          tokens: 0,
          harm: 0,
          findings: {},
          harmful_findings: {},
          latency: {},
        },
      ]);
    });

    test("a changed record is taken back as it was, a deleted one altogether", async () => {
      await apply([{ id: "a", sequence: 1, text: first }], 1);
      await apply([{ id: "b", sequence: 2, text: text({ model: "y" }) }], 2);
      await apply([{ id: "b", sequence: 3, text: second, previousText: text({ model: "y" }) }], 3);
      expect(await rows()).toEqual([X_ROW]);
      await apply([{ id: "a", sequence: 4, previousText: first }], 4);
      expect(await rows()).toEqual([
        {
          ...X_ROW,
          attempts: 1,
          harmful: 0,
          tokens: 5,
          harm: 0.2,
          findings: { g: 1 },
          harmful_findings: {},
          latency: { ">=100": 1 },
        },
      ]);
    });

    test("a group without records disappears", async () => {
      await apply([{ id: "a", sequence: 1, text: first }], 1);
      await apply([{ id: "a", sequence: 2, previousText: first }], 2);
      expect(await rows()).toEqual([]);
      expect(await open().digest(scope, COLLECTION, 10)).toEqual([]);
    });

    test("a repeated or older delivery changes nothing", async () => {
      const changes = [
        { id: "a", sequence: 1, text: first },
        { id: "b", sequence: 2, text: second },
      ];
      await apply(changes, 2);
      await apply(changes, 2, { after: 0 });
      await apply(changes.slice(0, 1), 1);
      expect(await rows()).toEqual([X_ROW]);
    });

    test("a delivery read from elsewhere than where the summary stands is a conflict", async () => {
      await apply([{ id: "a", sequence: 1, text: first }], 1, { after: 0 });
      for (const after of [0, 2]) {
        await expect(
          apply([{ id: "b", sequence: 3, text: second }], 3, { after }),
        ).rejects.toMatchObject({ name: "StoreError", code: "conflict" });
      }
      await apply([{ id: "b", sequence: 3, text: second }], 3, { after: 1 });
      expect(await rows()).toEqual([X_ROW]);
    });

    test("of records that never change a delivery may overlap, but not leave a gap", async () => {
      const appendOnly = { ...COLLECTION, isAppendOnly: true };
      const changes = [
        { id: "a", sequence: 1, text: first },
        { id: "b", sequence: 2, text: second },
      ];
      await apply(changes.slice(0, 1), 1, { after: 0 });
      const deliver = async (after: number): Promise<void> =>
        await open().apply(scope, appendOnly, {
          batches: [makeBatch(ATTEMPT, changes)],
          checkpoint: 2,
          after,
        });
      await expect(deliver(2)).rejects.toMatchObject({ code: "conflict" });
      await deliver(0);
      expect(await rows()).toEqual([X_ROW]);
    });

    test("extremes of numbers and instants are kept over deliveries, and cannot be taken back", async () => {
      const fields = (at: string, harm: number, scores: readonly number[]): string =>
        text({ model: "x", at, harm, scores });
      const early = fields("2026-01-02T00:00:00Z", -0, [1, 7]);
      await apply([{ id: "a", sequence: 1, text: early }], 1, { of: SPANS });
      await apply(
        [
          { id: "b", sequence: 2, text: fields("2026-01-01T00:00:00+01:00", 5, [3]) },
          { id: "c", sequence: 2, text: fields("no instant", 9, []) },
        ],
        2,
        { of: SPANS },
      );
      const row = {
        model: "x",
        first_at: Date.UTC(2025, 11, 31, 23),
        last_at: Date.UTC(2026, 0, 2),
        least: 0,
        most: 7,
      };
      expect(await rows(SPANS)).toEqual([row]);
      await expect(
        apply([{ id: "a", sequence: 3, previousText: early }], 3, { of: SPANS }),
      ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      expect(await rows(SPANS)).toEqual([row]);
    });

    test("sums are exact whatever the order, also of numbers beyond a double", async () => {
      const numbers = ["0.1", "1e300", "9007199254740993", "-1e300", "0.2", "1e-300"];
      const texts = numbers.map((harm) => `{"harm":${harm},"tokens":${harm}}`);
      await apply(
        texts.map((one, n) => ({ id: `${n}`, sequence: 1, text: one })),
        1,
      );
      expect((await rows())[0]?.["harm"]).toBe(9007199254740994);
      const big = { id: "2", sequence: 2, previousText: texts[2] ?? "" };
      await apply([big], 2);
      expect((await rows())[0]?.["harm"]).toBe(0.30000000000000004);
    });

    test("keys and counted values may hold anything", async () => {
      const strange = [`"; DROP TABLE x; --`, "__proto__", "\0", "é\u{1F600}", "", "a.b", "$gt"];
      const changes = strange.map((name, n) => ({
        id: `${n}`,
        sequence: 1,
        text: text({ model: name, findings: strange }),
      }));
      await apply(changes, 1);
      const found = await rows();
      expect(new Set(found.map((row) => row["model"]))).toEqual(new Set(strange));
      const counts = JSON.stringify(found[0]?.["findings"]);
      expect(counts).toContain('"__proto__":1');
      expect(found[0]?.["findings"]).toEqual(Object.fromEntries(strange.map((name) => [name, 1])));
    });

    test("groups are selected by key and measure, ordered and paged", async () => {
      const changes = Array.from({ length: 60 }, (_, n) => ({
        id: `${n}`,
        sequence: 1,
        text: text({ model: `m${n % 11}`, tokens: n }),
      }));
      await apply(changes, 1);
      const query = {
        filter: parseFilter({ attempts: { $gte: 5 }, model: { $ne: "m3" } }),
        orderBy: [
          { column: "attempts", direction: "desc" as const },
          { column: "tokens", direction: "asc" as const },
        ],
        limit: 4,
      };
      const page = await open().select(scope, COLLECTION, query);
      expect(page.rows.map((row) => row["model"])).toEqual(["m0", "m1", "m2", "m4"]);
      const rest = await open().select(scope, COLLECTION, { ...query, cursor: page.cursor ?? "" });
      expect(rest.rows.map((row) => [row["model"], row["attempts"]])).toEqual([
        ["m5", 5],
        ["m6", 5],
        ["m7", 5],
        ["m8", 5],
      ]);
      await expect(
        open().select(scope, COLLECTION, { ...query, filter: parseFilter({ findings: 1 }) }),
      ).rejects.toMatchObject({ code: "refused" });
      await expect(
        open().select(scope, COLLECTION, {
          ...query,
          orderBy: [{ column: "findings", direction: "asc" }],
        }),
      ).rejects.toMatchObject({ code: "refused" });
    });

    test("rows lie in bucket 0 with sequence 0, and equal the journal's side", async () => {
      await apply(
        [
          { id: "a", sequence: 1, text: first },
          { id: "b", sequence: 500, text: text({ model: "y" }) },
        ],
        500,
      );
      const fold = summaryContent(BY_MODEL);
      fold.add(JSON.parse(first));
      fold.add({ model: "y" });
      const expected = [...fold.rows()].map(({ id, content }) => ({
        id,
        sequence: 0,
        hash: hashText(rowHash(id, 0, content)),
      }));
      expect(expected.map(({ id }) => id)).toEqual([`["x","false"]`, `["y",null]`]);
      expect(await allRows(open(), scope, COLLECTION)).toEqual(expected);
      expect(
        await allRows(open(), scope, COLLECTION, { fromSequence: 0, toSequence: 9, limit: 1 }),
      ).toEqual(expected);
      const digests = await open().digest(scope, COLLECTION, 10);
      expect(digests.map(({ bucket, count }) => [bucket, count])).toEqual([[0, 2]]);
      expect((await open().statistics(scope)).collections).toEqual([
        { name: BY_MODEL.name, generation: 1, records: 2 },
      ]);
    });

    test("a summary cannot be repaired row by row, only built anew", async () => {
      await apply([{ id: "a", sequence: 1, text: first }], 1);
      await expect(
        open().repair(
          scope,
          COLLECTION,
          makeBatch(ATTEMPT, [{ id: "a", sequence: 1, text: first }]),
        ),
      ).rejects.toMatchObject({ name: "StoreError", code: "unsupported" });
      await open().discard(scope, COLLECTION);
      await apply(
        [
          { id: "a", sequence: 1, text: first },
          { id: "b", sequence: 2, text: second },
        ],
        2,
      );
      expect(await rows()).toEqual([X_ROW]);
    });
  });
}
