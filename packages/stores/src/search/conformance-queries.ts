import { parseFilter } from "@custody/contract/filter";
import { describe, expect, test } from "vitest";

import type { Collection } from "../projected-store.ts";
import { deliver } from "../testing/conformance-projection.ts";
import { scopeFor } from "../testing/scope.ts";
import { FINDING, FINDINGS, HOSTILE_NAMES } from "./conformance-case.ts";
import type { SearchExpression } from "./expression.ts";
import type { SearchQuery, SearchStore } from "./port.ts";
import { parseSearch } from "./query-language.ts";
import type { SearchPlacement } from "@custody/contract/placement";

const scope = scopeFor("tenant-a");

/** Puts findings by id: a text is the title. */
export async function putFindings(
  store: SearchStore,
  findings: Readonly<Record<string, string | Readonly<Record<string, unknown>>>>,
  sequence = 1,
): Promise<void> {
  await store.prepare(scope, FINDINGS);
  const records = Object.entries(findings).map(([id, fields]) => ({
    id,
    sequence,
    text: JSON.stringify(typeof fields === "string" ? { title: fields } : fields),
  }));
  await store.apply(scope, FINDINGS, deliver(FINDING, records));
}

/** The ids a search finds, sorted. */
export async function idsOf(
  store: SearchStore,
  expression: SearchExpression | string,
  query: Partial<SearchQuery> = {},
): Promise<readonly string[]> {
  const parsed = typeof expression === "string" ? parseSearch(expression) : expression;
  const page = await store.search(scope, FINDINGS, { expression: parsed, limit: 100, ...query });
  expect(page.total).toBe(page.hits.length);
  return page.hits.map(({ id }) => id).sort();
}

/** What a search finds. */
export function describeQueries(open: () => SearchStore): void {
  describe("queries", () => {
    test("words are found in any field, all of them together, whatever their case and diacritics", async () => {
      await putFindings(open(), {
        a: "The naïve model leaks its prompt",
        b: { title: "leak", turns: [{ content: "nothing" }, { content: "NAIVE prompt" }] },
        c: "the prompt only",
      });
      expect(await idsOf(open(), "naive PROMPT")).toEqual(["a", "b"]);
      expect(await idsOf(open(), "naïve leaks")).toEqual(["a"]);
      expect(await idsOf(open(), "absent")).toEqual([]);
    });

    test("or, not, phrases, prefixes, fields and brackets find what they say", async () => {
      await putFindings(open(), {
        a: "red green blue",
        b: "green red blue",
        c: "blue",
        d: { title: "other", turns: [{ content: "red" }] },
      });
      expect(await idsOf(open(), "green OR other")).toEqual(["a", "b", "d"]);
      expect(await idsOf(open(), "red -green")).toEqual(["d"]);
      expect(await idsOf(open(), "-red")).toEqual(["c"]);
      expect(await idsOf(open(), "-red OR other")).toEqual(["c", "d"]);
      expect(await idsOf(open(), "-(-red)")).toEqual(["a", "b", "d"]);
      expect(await idsOf(open(), '"red green"')).toEqual(["a"]);
      expect(await idsOf(open(), '"green red" OR c OR (blue -red)')).toEqual(["b", "c"]);
      expect(await idsOf(open(), "gre*")).toEqual(["a", "b"]);
      expect(await idsOf(open(), '"red gre"*')).toEqual(["a"]);
      expect(await idsOf(open(), "title:red")).toEqual(["a", "b"]);
      expect(await idsOf(open(), "body:(red OR blue)")).toEqual(["d"]);
      expect(await idsOf(open(), "")).toEqual(["a", "b", "c", "d"]);
    });

    test("a text of several words is a phrase, one without a word is left out", async () => {
      await putFindings(open(), { a: "see CVE-2026-0001 now", b: "2026 0001 CVE" });
      expect(await idsOf(open(), { op: "term", text: "CVE-2026-0001" })).toEqual(["a"]);
      expect(await idsOf(open(), "see & now --")).toEqual(["a"]);
      expect(await idsOf(open(), "!!! ???")).toEqual([]);
    });

    test.each([
      `"`,
      `" OR 1=1 --`,
      `a" OR "b`,
      "NEAR(a b)",
      "a AND",
      "{title} : a",
      "^a",
      "a + b",
      "title : a",
      "*",
      "a*b",
      "'; DROP TABLE x; --",
      "\0",
      "a\0b",
      "(((((",
      "-",
      "col:umn",
      "\u{FDD0}",
      "日本語",
      "x".repeat(10_000),
      HOSTILE_NAMES[0],
    ])("a text that looks like syntax is only a text: %j", async (text) => {
      await putFindings(open(), { a: "plain words", b: `has ${text} inside` });
      for (const op of ["term", "phrase", "prefix"] as const) {
        const found = await idsOf(open(), { op, text });
        expect(["", "b"]).toContain(found.join());
      }
    });

    test("a field by a hostile name is searched, an unknown one refused", async () => {
      await putFindings(open(), { a: { hostile: "here" }, b: "here" });
      const field = HOSTILE_NAMES[0];
      expect(await idsOf(open(), { op: "term", text: "here", field })).toEqual(["a"]);
      await expect(
        idsOf(open(), { op: "term", text: "here", field: `title} : x` }),
      ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
    });

    test("a fuzzy word finds words that differ in so many letters, where the engine can", async () => {
      const { capabilities } = open();
      await putFindings(open(), {
        a: "jailbreak",
        b: "jailbraek",
        c: "jailbrek",
        d: "jxilbrxak",
        e: "jail",
        f: "ailbreak",
      });
      if (!capabilities.isFuzzy) {
        await expect(idsOf(open(), "jailbreak~")).rejects.toMatchObject({ code: "unsupported" });
        return;
      }
      expect(await idsOf(open(), "jailbreak~")).toEqual(["a", "c", "f"]);
      expect(await idsOf(open(), "jailbreak~2")).toEqual(["a", "b", "c", "d", "f"]);
      expect(await idsOf(open(), "title:JAILBREAK~ -jailbrek")).toEqual(["a", "f"]);
      expect(await idsOf(open(), "zzzzzzz~2")).toEqual([]);
    });

    test("an expression nested beyond all bounds is refused, not run", async () => {
      await putFindings(open(), { a: "a" });
      let expression: SearchExpression = { op: "term", text: "a" };
      for (let depth = 0; depth < 5_000; depth += 1) {
        expression = { op: "or", parts: [expression, { op: "term", text: "b" }] };
      }
      await expect(idsOf(open(), expression)).rejects.toMatchObject({ code: "refused" });
    });

    test("hits come best first: a hit in a heavy field before one in a light field", async () => {
      await putFindings(open(), {
        light: { title: "nothing much", turns: [{ content: "exploit in the body" }] },
        heavy: { title: "exploit much", turns: [{ content: "nothing in the body" }] },
        c: "other",
        d: "other",
      });
      const page = await open().search(scope, FINDINGS, {
        expression: parseSearch("exploit"),
        limit: 10,
      });
      expect(page.hits.map(({ id }) => id)).toEqual(["heavy", "light"]);
      expect(page.hits[0]?.score).toBeGreaterThan(page.hits[1]?.score ?? Number.NaN);
      expect(page.hits[0]?.sequence).toBe(1);
      expect(page.checkpoint).toBe(1);
    });

    test("pages follow one another without a gap or a repetition, ties by id", async () => {
      const findings = Array.from({ length: 23 }, (_, n) => [
        `id-${String(n).padStart(2, "0")}`,
        n % 2 === 0 ? "same words" : "same words and more of them",
      ]);
      await putFindings(open(), Object.fromEntries(findings) as Record<string, string>);
      const expression = parseSearch("same");
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const query = { expression, limit: 5, ...(cursor === undefined ? {} : { cursor }) };
        const page = await open().search(scope, FINDINGS, query);
        expect(page.total).toBe(23);
        seen.push(...page.hits.map(({ id }) => id));
        cursor = page.cursor;
      } while (cursor !== undefined);
      const even = findings.filter((_, n) => n % 2 === 0).map(([id]) => id);
      const odd = findings.filter((_, n) => n % 2 === 1).map(([id]) => id);
      expect(seen).toEqual([...even, ...odd]);
    });

    test("a cursor that is none, or of another search, is refused", async () => {
      await putFindings(open(), { a: "one two", b: "one two" });
      const first = await open().search(scope, FINDINGS, {
        expression: parseSearch("one"),
        limit: 1,
      });
      for (const cursor of ["", "bm9uZQ", first.cursor ?? ""]) {
        await expect(
          open().search(scope, FINDINGS, { expression: parseSearch("two"), limit: 1, cursor }),
        ).rejects.toMatchObject({ name: "StoreError", code: "refused" });
      }
    });

    test("a page at the limit is given, one beyond it or below one is refused", async () => {
      await putFindings(open(), { a: "one" });
      const { pageMax, facetsMax } = open().limits;
      const expression = parseSearch("one");
      const ask = async (limit: number, facets = 1): Promise<number> => {
        const names = Array.from({ length: facets }, () => "severity");
        const page = await open().search(scope, FINDINGS, { expression, limit, facets: names });
        return page.total;
      };
      expect(await ask(pageMax, facetsMax)).toBe(1);
      await expect(ask(pageMax + 1)).rejects.toMatchObject({ code: "limit" });
      await expect(ask(0)).rejects.toMatchObject({ code: "limit" });
      await expect(ask(1, facetsMax + 1)).rejects.toMatchObject({ code: "limit" });
    });

    test("a changed text is found by its new words only, a deleted one by none", async () => {
      await putFindings(open(), { a: "before", b: "before" });
      await putFindings(open(), { a: "after" }, 2);
      await open().apply(scope, FINDINGS, deliver(FINDING, [{ id: "b", sequence: 3 }]));
      expect(await idsOf(open(), "before")).toEqual([]);
      expect(await idsOf(open(), "after")).toEqual(["a"]);
      await open().settle(scope);
      expect(await idsOf(open(), "before OR after")).toEqual(["a"]);
    });

    test("the plan of a search is explained in lines of text", async () => {
      await putFindings(open(), { a: "one two", b: { title: "one", severity: "high" } });
      const query = {
        expression: parseSearch("one -three"),
        filter: parseFilter({ severity: "high" }),
        limit: 10,
      };
      const lines = await open().explain(scope, FINDINGS, query);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.filter((line) => line.trim() === "")).toEqual([]);
      const everything = { expression: parseSearch(""), limit: 1 };
      const { cursor = "" } = await open().search(scope, FINDINGS, everything);
      const paged = await open().explain(scope, FINDINGS, { ...everything, cursor });
      expect(paged.length).toBeGreaterThan(0);
    });

    test("what cannot be searched cannot be explained either", async () => {
      await putFindings(open(), { a: "one" });
      const explain = async (query: Partial<SearchQuery>): Promise<readonly string[]> =>
        await open().explain(scope, FINDINGS, {
          expression: parseSearch("one"),
          limit: 1,
          ...query,
        });
      await expect(explain({ filter: parseFilter({ unknown: 1 }) })).rejects.toMatchObject({
        code: "refused",
      });
      await expect(explain({ cursor: "bm9uZQ" })).rejects.toMatchObject({ code: "refused" });
      await expect(explain({ limit: 0 })).rejects.toMatchObject({ code: "limit" });
      const unknown = { ...FINDINGS, generation: 99 };
      const query = { expression: parseSearch("one"), limit: 1 };
      expect(await open().explain(scope, unknown, query)).toEqual([]);
    });

    test("a collection that was never prepared is empty, one without a field is refused", async () => {
      expect(await idsOf(open(), "anything")).toEqual([]);
      const empty: Collection<SearchPlacement> = {
        ...FINDINGS,
        placements: { [FINDING]: { fields: {} } },
      };
      await expect(open().prepare(scope, empty)).rejects.toMatchObject({ code: "refused" });
      const two = { ...FINDINGS.placements, "other/type": { fields: {} } };
      await expect(open().prepare(scope, { ...FINDINGS, placements: two })).rejects.toMatchObject({
        code: "refused",
      });
    });
  });
}
