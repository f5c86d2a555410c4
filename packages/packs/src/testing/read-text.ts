import type { ImportContext, Importer, ImportRow } from "@custody/contract/importer";

import { openSource } from "../reading/source.ts";
import type { OpenedSource, SourceOptions } from "../reading/source.ts";

/** A context whose every part is known to a test. */
const TEST_CONTEXT: ImportContext = {
  isLenient: false,
  labels: {},
  sha256: "ab".repeat(32),
  importedAt: 1767600000000,
};

/** Bytes in pieces of a given size, so that a test can cut anywhere. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Opens text or bytes as a source. */
export function sourceOf(
  content: string | Uint8Array,
  options: Partial<SourceOptions> & { readonly pieceBytes?: number } = {},
): Promise<OpenedSource> {
  const bytes = typeof content === "string" ? Buffer.from(content, "utf8") : content;
  const { pieceBytes = 64 * 1024, ...rest } = options;
  return openSource(pieces(bytes, pieceBytes), { name: "sample.json", ...rest });
}

/** Everything that an importer makes of a content. */
export async function importAll(
  importer: Importer,
  content: string | Uint8Array,
  context: Partial<ImportContext> & { readonly name?: string; readonly pieceBytes?: number } = {},
): Promise<ImportRow[]> {
  const { name = "sample.json", pieceBytes = 64 * 1024, ...rest } = context;
  const source = await sourceOf(content, { name, pieceBytes });
  return collect(importer.read(source, { ...TEST_CONTEXT, ...rest }));
}

/** The fields of the records of one type. */
export function fieldsOf(rows: readonly ImportRow[], type: string): Record<string, unknown>[] {
  return rows.flatMap((row) =>
    row.kind === "record" && row.type === type ? [{ ...row.fields }] : [],
  );
}

/** Everything that comes, as a list. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}
