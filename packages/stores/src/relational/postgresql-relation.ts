import type { PgSession } from "../drivers/postgresql-session.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { RowPosition, StoredContent } from "../row-pages.ts";
import type { RecordBatch } from "../record-batch.ts";
import type { PgSource } from "./postgresql-select.ts";

/** Where a collection's rows are, of all spaces that hold it with one mapping. */
export interface PgPlace {
  readonly schema: string;
  /** The table's name, or that of a summary's view. */
  readonly table: string;
}

/** A prepared collection: a type's table or a summary. */
export interface PgRelation {
  readonly source: PgSource;
  /** The tables its rows are in, quoted; the first has a row for each of its rows. */
  readonly tables: readonly string[];
  /** True where a row is made of several records, which cannot be delivered twice or in part. */
  readonly isMadeOfSeveral: boolean;
  /** Writes within the caller's transaction; `last` are sent with the last of the rows. */
  write(session: PgSession, writing: PgWriting, last: readonly PgFragment[]): Promise<void>;
  /** The content of rows, a page at a time, in order of sequence and id. */
  contents(
    session: PgSession,
    space: string,
    range: PgRange,
  ): AsyncGenerator<readonly StoredContent[]>;
  /** Counts the space's rows as `count`. */
  count(space: string): PgFragment;
}

/** Records to write, and what is known of them. */
export interface PgWriting {
  readonly space: string;
  readonly batches: readonly RecordBatch[];
  /** Records at or below are skipped. */
  readonly checkpoint: number;
  /** True to write whatever version is stored. */
  readonly isForced: boolean;
  /** True when there is no row of these records, or should be none: one that is there is a conflict. */
  readonly isNew: boolean;
}

/** Rows after a position whose sequence is below an end. */
export interface PgRange {
  readonly start: RowPosition;
  readonly toSequence: number;
  /** Rows wanted at a time. */
  readonly rowsMax: number;
}

/** Rows read at a time, so that memory is bounded. */
export const ROWS_READ_MAX = 1_000;

/** Every row there is. */
export const EVERY_ROW: PgRange = {
  start: { sequence: 0, id: "" },
  toSequence: Number.MAX_SAFE_INTEGER,
  rowsMax: ROWS_READ_MAX,
};
