import { parseJson } from "@custody/contract/json";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { hashText, rowHash } from "../content-form.ts";
import type { RowDigest } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import { allRows } from "../testing/conformance-projection.ts";
import { scopeFor } from "../testing/scope.ts";
import { ATTEMPT, BY_MODEL, summaryCollection } from "./conformance-case.ts";
import type { Change } from "./conformance-summary.ts";
import { summaryContent } from "./content.ts";
import type { RelationalStore } from "./port.ts";

const COLLECTION = summaryCollection(BY_MODEL);

/** A version of a record in a history: `undefined` fields are a deletion. */
interface Version {
  readonly id: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

const FIELDS = fc.record(
  {
    model: fc.constantFrom("x", "y", "__proto__", ""),
    refused: fc.boolean(),
    verdict: fc.constantFrom("harmful", "safe", true),
    tokens: fc.oneof(fc.integer({ min: -5, max: 2 ** 40 }), fc.constant(2 ** 53 - 1)),
    harm: fc.double({ noNaN: true, noDefaultInfinity: true }),
    findings: fc.array(fc.constantFrom("f", "g", "h", "constructor"), { maxLength: 4 }),
    latency: fc.constantFrom(0, 99.9, 100, 5_000),
  },
  { requiredKeys: [] },
);

const HISTORY = fc.array(
  fc.record({
    id: fc.constantFrom("a", "b", "c", "d", "e"),
    fields: fc.option(FIELDS, { nil: undefined, freq: 4 }),
  }),
  { minLength: 1, maxLength: 30 },
);

/** Summaries kept by deliveries equal those of the whole, whatever happened and however it was cut. */
export function describeSummaryHistories(open: () => RelationalStore): void {
  describe("histories of summaries", () => {
    test("what deliveries add up to is what the latest versions sum up to, whatever the cuts and repeats", async () => {
      let run = 0;
      await fc.assert(
        fc.asyncProperty(HISTORY, fc.infiniteStream(fc.nat(6)), async (history, cuts) => {
          run += 1;
          const scope = scopeFor(`tenant-${run % 4}`);
          await open().discard(scope, COLLECTION);
          await open().prepare(scope, COLLECTION);
          let from = 0;
          for (const cut of cuts) {
            const to = Math.min(history.length, from + cut);
            const delivery = deliveryOf(history, from, to);
            await open().apply(scope, COLLECTION, delivery);
            // A cut of 5 and 6 delivers again, the second time all there ever was.
            if (cut >= 5) await open().apply(scope, COLLECTION, delivery);
            if (cut === 6) await open().apply(scope, COLLECTION, deliveryOf(history, 0, to));
            from = to;
            if (from === history.length) break;
          }
          expect(await allRows(open(), scope, COLLECTION)).toEqual(expectedRows(history));
        }),
        { numRuns: 150 },
      );
    }, 60_000);
  });
}

/** The versions with sequences `from + 1` to `to`: each record once, latest, with what it was before. */
function deliveryOf(history: readonly Version[], from: number, to: number): Delivery {
  const before = latest(history.slice(0, from));
  const changes = [...latest(history.slice(from, to))].map(([id, { fields, sequence }]): Change => {
    const previous = before.get(id)?.fields;
    return {
      id,
      sequence: sequence + from,
      ...(fields === undefined ? {} : { text: JSON.stringify(fields) }),
      ...(previous === undefined ? {} : { previousText: JSON.stringify(previous) }),
    };
  });
  return { batches: [makeBatch(ATTEMPT, changes)], checkpoint: to, after: from };
}

function latest(
  history: readonly Version[],
): Map<string, { readonly fields: Version["fields"]; readonly sequence: number }> {
  return new Map(history.map(({ id, fields }, index) => [id, { fields, sequence: index + 1 }]));
}

function expectedRows(history: readonly Version[]): readonly RowDigest[] {
  const fold = summaryContent(BY_MODEL);
  for (const { fields } of latest(history).values()) {
    if (fields !== undefined) fold.add(parseJson(JSON.stringify(fields)));
  }
  return [...fold.rows()]
    .map(({ id, content }) => ({ id, sequence: 0, hash: hashText(rowHash(id, 0, content)) }))
    .sort((left, right) => (left.id < right.id ? -1 : 1));
}
