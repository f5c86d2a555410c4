import { describe, expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { FINDINGS } from "./conformance-case.ts";
import { putFindings } from "./conformance-queries.ts";
import type { SearchStore } from "./port.ts";
import { parseSearch } from "./query-language.ts";

const scope = scopeFor("tenant-a");

/** How hits are marked in texts. */
export function describeHighlight(open: () => SearchStore): void {
  describe("highlights", () => {
    const mark = async (
      search: string,
      texts: readonly Readonly<Record<string, string>>[],
      lengthMax = 1_000,
    ): Promise<readonly Readonly<Record<string, string>>[]> => {
      await putFindings(open(), { a: "jailbreak" });
      const expression = parseSearch(search);
      const style = { open: "<", close: ">" };
      return await open().highlight(scope, FINDINGS, { expression, texts, mark: style, lengthMax });
    };

    test("each hit is marked in the text as it stands, record by record", async () => {
      expect(
        await mark("naive model", [
          { title: "The NAÏVE model", body: "no hit" },
          { body: "model, model!" },
        ]),
      ).toEqual([{ title: "The <NAÏVE> <model>", body: "no hit" }, { body: "<model>, <model>!" }]);
    });

    test("phrases, prefixes, fuzzy words and fields mark what they meet, unwanted words nothing", async () => {
      expect(await mark('"red blue"', [{ title: "red blue red" }])).toEqual([
        { title: "<red blue> red" },
      ]);
      expect(await mark("bl*", [{ title: "black white" }])).toEqual([{ title: "<black> white" }]);
      expect(await mark("title:red", [{ title: "red", body: "red" }])).toEqual([
        { title: "<red>", body: "red" },
      ]);
      expect(await mark("red -blue", [{ title: "red blue" }])).toEqual([{ title: "<red> blue" }]);
      if (!open().capabilities.isFuzzy) return;
      expect(await mark("jailbreek~", [{ title: "a jailbreak" }])).toEqual([
        { title: "a <jailbreak>" },
      ]);
    });

    test("a long text is cut around its first hit, a short one is whole", async () => {
      const text = `${"before ".repeat(50)}hit ${"after ".repeat(50)}`;
      const [cut] = await mark("hit", [{ title: text, body: "hit" }], 40);
      expect(cut).toEqual({
        title: "…before <hit> after after after after after…",
        body: "<hit>",
      });
      expect(await mark("absent", [{ title: "one two three" }], 7)).toEqual([
        { title: "one two…" },
      ]);
    });

    test("NUL, noncharacters and marks in a text do no harm", async () => {
      expect(await mark("hit", [{ title: "a\0b hit\u{FDD0} <hit>" }])).toEqual([
        { title: "a\u{FFFD}b <hit>\u{FFFD} <<hit>>" },
      ]);
    });

    test("a search without words marks nothing", async () => {
      expect(await mark("", [{ title: "text" }])).toEqual([{ title: "text" }]);
    });
  });
}
