import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** One file of the corpus, with what its catalogue says of it. */
export interface CorpusFile {
  readonly format: string;
  readonly name: string;
  readonly path: string;
  /** `ok`, `ok-odd`, `odd`, `compressed`, `malformed`, `empty-0-bytes`. */
  readonly status: string;
  /** How many records were counted by other means, where that was possible. */
  readonly records: number | undefined;
}

const CHECKOUT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** The folder of real reports: named by CUSTODY_CORPORA, or beside the checkout; `undefined` where absent. */
export function corpusFolder(): string | undefined {
  const folder = process.env["CUSTODY_CORPORA"] ?? join(CHECKOUT, "../shared/corpora");
  return existsSync(join(folder, "SOURCES.tsv")) ? folder : undefined;
}

/** The files of some formats that are there, in the order of the catalogue's names. */
export function corpusFiles(formats: readonly string[]): readonly CorpusFile[] {
  const folder = corpusFolder();
  if (folder === undefined) return [];
  const lines = readFileSync(join(folder, "SOURCES.tsv"), "utf8").trimEnd().split("\n");
  const names = (lines[0] ?? "").split("\t");
  const rows = new Map(
    lines.slice(1).map((line) => {
      const cells = line.split("\t");
      return [
        cells[0] ?? "",
        new Map(names.map((name, index) => [name, cells[index] ?? ""])),
      ] as const;
    }),
  );
  return formats.flatMap((format) =>
    (existsSync(join(folder, format)) ? readdirSync(join(folder, format)) : [])
      .sort()
      .map((name) => {
        const row = rows.get(`${format}/${name}`);
        const records = row?.get("records") ?? "";
        return {
          format,
          name,
          path: join(folder, format, name),
          status: row?.get("status") ?? "unlisted",
          records: records === "" ? undefined : Number(records),
        };
      }),
  );
}

/** Reports that are part of the repository. */
export function exampleFiles(folder: string, ending: RegExp): readonly string[] {
  const path = join(CHECKOUT, "examples/evidence", folder);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => ending.test(name))
    .sort()
    .map((name) => join(path, name));
}
