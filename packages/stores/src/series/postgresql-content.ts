import type { PgSession } from "../drivers/postgresql-session.ts";
import { originalText, prepared, storedText } from "../drivers/postgresql-sql.ts";
import type { PgRow } from "../drivers/postgresql-statements.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import type { StoredContent } from "../row-pages.ts";
import { seriesContent } from "./content.ts";
import type { SeriesPoint } from "./content.ts";
import { layoutWidth } from "./measurement-layout.ts";
import type { SeriesLayout } from "./measurement-layout.ts";
import { slots } from "./postgresql-tables.ts";
import type { HeldSeries } from "./postgresql-tables.ts";

// The last of an `int`: every point of a record lies before it.
const ORDINAL_MAX = 2_147_483_647;
// Rows of one round trip: about 2 MB.
const ROWS_MAX = 5_000;

/** Records in order of sequence and id, each with the content of what is stored of it. */
export async function* seriesContents(
  session: PgSession,
  { held, space }: { readonly held: HeldSeries; readonly space: string },
  range: {
    readonly after: { readonly sequence: number; readonly id: string };
    readonly fromSequence: number;
    readonly toSequence: number;
  },
): AsyncGenerator<StoredContent> {
  const { tags, fields } = layoutWidth(held.layout);
  const columns = [
    "_id, _sequence, _ordinal, _measurement, _at",
    ...slots(tags, (slot) => `tag_${slot}`),
    ...slots(fields, (slot) => `field_${slot}`),
  ].join(", ");
  const pointOf = compilePoint(held.layout);
  const records = new RecordsInOrder();
  let after = { ...range.after, ordinal: ORDINAL_MAX };
  for (;;) {
    const rows = await session.rows(prepared`SELECT ${verbatim(columns)}
      FROM ${verbatim(held.points)} WHERE _space = ${space} AND _sequence >= ${range.fromSequence}
        AND _sequence < ${range.toSequence}
        AND (_sequence, _id, _ordinal) > (${after.sequence}, ${storedText(after.id)}, ${after.ordinal})
      ORDER BY _sequence, _id, _ordinal LIMIT ${ROWS_MAX}`);
    for (const row of rows) {
      const id = originalText(String(row["_id"]));
      after = { sequence: Number(row["_sequence"]), id, ordinal: Number(row["_ordinal"]) };
      yield* records.add(after, pointOf(row));
    }
    if (rows.length < ROWS_MAX) break;
  }
  yield* records.end();
}

/** Puts together the points of records that come one record after another. */
class RecordsInOrder {
  #open:
    | { readonly id: string; readonly sequence: number; readonly points: SeriesPoint[] }
    | undefined;

  /** The record that ended before this point, if one did. */
  add(
    { id, sequence }: { readonly id: string; readonly sequence: number },
    point: SeriesPoint,
  ): readonly StoredContent[] {
    if (this.#open?.id === id && this.#open.sequence === sequence) {
      this.#open.points.push(point);
      return [];
    }
    const ended = this.end();
    this.#open = { id, sequence, points: [point] };
    return ended;
  }

  end(): readonly StoredContent[] {
    return this.#open === undefined ? [] : [contentOf(this.#open)];
  }
}

function contentOf(record: {
  readonly id: string;
  readonly sequence: number;
  readonly points: readonly SeriesPoint[];
}): StoredContent {
  const { id, sequence, points } = record;
  return { id, sequence, content: seriesContent(points) };
}

/** Makes a point of a stored row, with the names that its measurement gives its columns. */
function compilePoint({ measurements }: SeriesLayout): (row: PgRow) => SeriesPoint {
  return (row) => {
    const names = measurements[Number(row["_measurement"])];
    const tags = new Map<string, string>();
    for (const [slot, name] of (names?.tags ?? []).entries()) {
      const text = row[`tag_${slot}`] ?? null;
      if (text !== null) tags.set(name, originalText(String(text)));
    }
    const fields = new Map<string, number>();
    for (const [slot, name] of (names?.fields ?? []).entries()) {
      const number = row[`field_${slot}`] ?? null;
      if (number !== null) fields.set(name, Number(number));
    }
    return { measurement: names?.name ?? "", at: Number(row["_at"]), tags, fields };
  };
}
