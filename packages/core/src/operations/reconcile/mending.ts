import { makeBatch } from "@custody/stores/record-batch";
import type { IdPosition } from "@custody/stores/relational/journal";

import { CoreError } from "../../errors.ts";
import type { ProjectionPlan } from "../../projection/projections.ts";
import type { Compared, Comparison, ComparisonParts } from "./comparison.ts";
import type { Pace } from "./pace.ts";
import { readQuarantined } from "./quarantined.ts";

/** So many rows are written anew one by one; where more differ, reading the journal whole is quicker. */
const ROWS_MENDED_MAX = 10_000;
const ROWS_PER_BATCH = 500;
const ATTEMPTS_MAX = 20;

/** How a projection was mended. */
export type Mending = "rows" | "rebuild";

/** Makes a projection what the journal says: its differing rows, or all of it where they are shared or many. */
export async function mend(
  parts: ComparisonParts,
  comparison: Comparison,
  { found }: Compared,
  pace: Pace,
): Promise<Mending> {
  const { projection, scope } = comparison;
  const [type, ...others] = projection.types;
  const isRowPerRecord = type !== undefined && others.length === 0 && !projection.isCounted;
  if (!isRowPerRecord || found.isCut || found.size > ROWS_MENDED_MAX) {
    const { role, name }: ProjectionPlan = projection;
    await parts.runner.rebuild(scope, { roles: [role], names: [name] });
    return "rebuild";
  }
  const ids = found.list().map(({ id }) => id);
  for (let from = 0; from < ids.length; from += ROWS_PER_BATCH) {
    const some = ids.slice(from, from + ROWS_PER_BATCH);
    await mendRows(parts, comparison, { type, ids: some });
    await pace.rest(some.length);
  }
  return "rows";
}

interface RowsOfType {
  readonly type: string;
  readonly ids: readonly string[];
}

async function mendRows(
  parts: ComparisonParts,
  comparison: Comparison,
  rows: RowsOfType,
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const checkpoint = await comparison.standing();
    await writeRows(parts, comparison, rows, checkpoint);
    // What the projector wrote meanwhile may have been overwritten with what was before it.
    if ((await comparison.standing()) === checkpoint) return;
  }
  const { role, name } = comparison.projection;
  throw new CoreError(
    "failed",
    `${role} ${name} is being written too fast to be repaired; try again`,
  );
}

/** Makes rows what the journal says at a checkpoint. */
async function writeRows(
  parts: ComparisonParts,
  { projection, scope }: Comparison,
  { type, ids }: RowsOfType,
  checkpoint: number,
): Promise<void> {
  const { versions } = await readQuarantined(parts.journal, scope, projection);
  const keys = ids.map((id) => ({ id, sequence: checkpoint + 1 }));
  const positions = await parts.journal.lookupBefore(scope, type, keys);
  const isHeld = (id: string, position: IdPosition): boolean =>
    !position.isDeleted && versions.get(`${type}\0${id}`) !== position.sequence;
  const records = [];
  for (const [index, id] of ids.entries()) {
    const position = positions[index];
    if (position === undefined || !isHeld(id, position)) records.push({ id, sequence: checkpoint });
    else {
      const { text, line } = await parts.reader.recordAt(scope, position);
      const observed = line.observedAt === undefined ? {} : { observedAt: line.observedAt };
      records.push({ id, sequence: position.sequence, text, ...observed });
    }
  }
  const store = await parts.runner.store(projection);
  await store.repair(scope, projection.collection, makeBatch(type, records));
}
