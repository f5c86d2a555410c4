import type { EvidenceRecord } from "./generate.ts";
import { lineBatches, parsedLines } from "./record-lines.ts";

/** Calls of each kind of read. */
export const READ_CALLS = 100;

/** Something to read, known from the input. */
export interface ReadSample {
  readonly id: string;
  readonly session_id: string;
  readonly probe: string;
  /** Two words of one of its texts, both of which a search must meet. */
  readonly words: string;
}

const RARE_LENGTH = 7;

/** Samples from all over the input's first 20,000 records. */
export function readSamples(input: string): readonly ReadSample[] {
  const [batch] = lineBatches(input, 20_000);
  if (batch === undefined) return [];
  const step = Math.max(1, Math.floor(batch.lines.length / READ_CALLS));
  const chosen = batch.lines.filter((_, index) => index % step === 0);
  return parsedLines<EvidenceRecord>({ ...batch, lines: chosen }).map(
    ({ id, session_id, probe, response }) => {
      const rare = response.content
        .toLowerCase()
        .split(/[^a-z]+/)
        .filter((word) => word.length >= RARE_LENGTH);
      return { id, session_id, probe, words: rare.slice(0, 2).join(" ") || "model" };
    },
  );
}
