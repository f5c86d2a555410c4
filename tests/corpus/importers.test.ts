import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { basename } from "node:path";

import type { ImportRow } from "@custody/contract/importer";
import { describe, expect, test } from "vitest";

import { PACKS } from "@custody/packs/catalogue";
import { detectFormat } from "@custody/packs/reading/detection";
import { openSource } from "@custody/packs/reading/source";
import { corpusFiles, corpusFolder, exampleFiles } from "./corpus-files.ts";
import { independentCounts, plainText } from "./independent-counts.ts";

const FORMATS = ["garak", "trivy", "cyclonedx", "stix"];
const importers = PACKS.flatMap((pack) => pack.importers);
const types = new Map(PACKS.flatMap((pack) => pack.types).map((type) => [type.name, type]));

/** Odd files that are refused; every other odd file is kept, each with the reason beside its count. */
const REFUSED = new Set([
  // The format is another one by its own word.
  "guac__invalid-cyclonedx.json",
  "specification__invalid-bomformat-1.2.json",
]);

async function importFile(path: string): Promise<{ importer: string; rows: ImportRow[] }> {
  const source = await openSource(createReadStream(path), { name: path });
  const importer = detectFormat(source.head, importers);
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  const context = { isLenient: false, labels: {}, sha256, importedAt: 0 };
  const rows: ImportRow[] = [];
  for await (const row of importer.read(source, context)) rows.push(row);
  return { importer: importer.name, rows };
}

function countsOf(rows: readonly ImportRow[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const row of rows) {
    if (row.kind !== "record") continue;
    counts[row.type] = (counts[row.type] ?? 0) + 1;
    const result = types.get(row.type)?.schema.safeParse(row.fields);
    expect([row.type, row.at, result?.error?.issues ?? []]).toEqual([row.type, row.at, []]);
  }
  return counts;
}

async function expectCounted(path: string, format: string): Promise<void> {
  const { importer, rows } = await importFile(path);
  const expected = independentCounts(format, plainText(path));
  expect(importer).toBe(format);
  expect(countsOf(rows)).toEqual(
    Object.fromEntries(Object.entries(expected).filter(([, count]) => count > 0)),
  );
}

describe.skipIf(corpusFolder() === undefined)(
  "real reports (skipped without the corpus: set CUSTODY_CORPORA)",
  () => {
    for (const { format, name, path, status } of corpusFiles(FORMATS)) {
      if (status === "malformed" || status === "empty-0-bytes" || REFUSED.has(name)) {
        test(`${format}/${name} is refused with its place`, async () => {
          await expect(importFile(path)).rejects.toMatchObject({
            name: "ImportError",
            at: expect.stringMatching(/./) as string,
          });
        });
      } else {
        test(`${format}/${name} gives the records that it holds`, () =>
          expectCounted(path, format));
      }
    }

    test("the catalogue of the corpus counts the same", async () => {
      for (const { format, name, path, status, records } of corpusFiles(FORMATS)) {
        // XML is counted there with the described product and with what a component descends from, and
        // nested components are not counted; garak's rows are counted, not its attempts.
        const isCountedOtherwise =
          format === "garak" || name.endsWith(".xml") || /nested/.test(name);
        if (records === undefined || isCountedOtherwise || REFUSED.has(name)) continue;
        const counts = countsOf((await importFile(path)).rows);
        expect([name, status, countLike(format, counts)]).toEqual([name, status, records]);
      }
    });
  },
);

/** What the catalogue counts as a record of a format. */
function countLike(format: string, counts: Readonly<Record<string, number>>): number {
  const sum = (...names: readonly string[]): number =>
    names.reduce((total, name) => total + (counts[`fortress/${name}`] ?? 0), 0);
  if (format === "stix") return sum("threat_intelligence", "relationships");
  if (format === "cyclonedx") return sum("components");
  return sum("vulnerabilities", "misconfigurations", "secrets", "licences");
}

describe("the example evidence", () => {
  const folders = [
    ["garak", "garak", /\.jsonl(?:\.gz)?$/],
    ["trivy", "trivy", /^(?!.*\.(?:cdx|spdx)\.).*\.json(?:\.gz)?$/],
    ["trivy", "cyclonedx", /\.cdx\.(?:json|xml)(?:\.gz)?$/],
    ["syft", "cyclonedx", /\.cdx\.(?:json|xml)(?:\.gz)?$/],
    ["osv-scanner", "cyclonedx", /\.cdx\.json$/],
    ["npm", "cyclonedx", /\.cdx\.json(?:\.gz)?$/],
    ["cyclonedx-py", "cyclonedx", /\.cdx\.json$/],
    ["stix", "stix", /\.json$/],
  ] as const;
  for (const [folder, format, ending] of folders) {
    for (const path of exampleFiles(folder, ending)) {
      test(`${folder}/${basename(path)} gives the records that it holds`, () =>
        expectCounted(path, format));
    }
  }

  for (const path of exampleFiles("git", /\.gitlog$/)) {
    test(`git/${basename(path)} gives its commits and files`, async () => {
      const { rows } = await importFile(path);
      const text = readFileSync(path, "utf8");
      expect(countsOf(rows)).toMatchObject({
        "audit/commits": [...text.matchAll(/(?:^|\0)[0-9a-f]{40}\0[0-9a-f]{40}\0/g)].length,
        "audit/commit_files": [...text.matchAll(/\0\n?(?:\d+|-)\t(?:\d+|-)\t/g)].length,
      });
    });
  }
});
