import { ImportError } from "@custody/contract/importer";
import type { Importer, SourceHead } from "@custody/contract/importer";

/** Below this an importer does not claim a source. */
const CONFIDENCE_MIN = 0.2;

/**
 * Finds the importer that is surest of being able to read a source; ties go to the first listed.
 *
 * @throws ImportError `empty` for a source without content, `unknown-format` naming the known formats.
 */
export function detectFormat(head: SourceHead, importers: readonly Importer[]): Importer {
  if (head.isWhole && head.text.trim() === "") {
    throw new ImportError("empty", `${head.name} is empty; there is nothing to import`, {
      at: "line 1",
    });
  }
  let best: Importer | undefined;
  let bestConfidence = CONFIDENCE_MIN;
  for (const importer of importers) {
    const confidence = importer.detect(head);
    if (confidence > bestConfidence) {
      best = importer;
      bestConfidence = confidence;
    }
  }
  if (best !== undefined) return best;
  const known = importers.map(({ name, title }) => `${name} (${title})`).join("; ");
  throw new ImportError(
    "unknown-format",
    `${head.name} is of no known format; known are: ${known}. Name the importer if it is one of them`,
    { at: "line 1" },
  );
}
