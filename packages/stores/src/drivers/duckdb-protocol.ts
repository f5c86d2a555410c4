import type { PackedColumn } from "./duckdb-columns.ts";
import type { StoreErrorCode } from "../errors.ts";

/** The two stores that a tenant's DuckDB process holds. */
export type DuckdbStoreName = "analytics" | "series";

/** Bounds of a tenant's DuckDB process; see `DuckdbOptions` for the defaults. */
export interface DuckdbBounds {
  readonly memoryMib: number;
  readonly threads: number;
  readonly temporaryMib: number;
  readonly residentMib: number;
  readonly lockWaitMs: number;
}

/** What the process is told when it starts, as its only argument in JSON. */
export interface DuckdbProcessSettings {
  /** The directory that holds the tenant's (or owner's) files. */
  readonly directory: string;
  readonly bounds: DuckdbBounds;
}

/** A call into the process. */
export interface DuckdbRequest {
  readonly call: number;
  readonly store: DuckdbStoreName;
  readonly method: string;
  readonly argument: unknown;
}

/** The number that no call has: its answer says that the process takes no further calls. */
export const GOODBYE_CALL = 0;

/** The process's answer to the call of the same number. */
export type DuckdbReply =
  | { readonly call: number; readonly value: unknown; readonly residentMib: number }
  | {
      readonly call: number;
      readonly error: {
        readonly code: StoreErrorCode;
        readonly message: string;
        /** True where the same call is worth repeating at once: what stood in its way was ended. */
        readonly isWorthRepeating: boolean;
      };
    };

/** A collection as the process knows it: its name, generation and columns. */
export interface DuckdbTable {
  readonly name: string;
  readonly generation: number;
  /** Columns after `_id` and `_sequence`, in order. */
  readonly columns: readonly { readonly name: string; readonly kind: PackedColumn["kind"] }[];
  /** What the role itself needs to remember, as JSON text. */
  readonly note: string;
}

/** The name of a collection's generation. */
export interface DuckdbTableName {
  readonly name: string;
  readonly generation: number;
}

/** Begins the writing of a delivery; answers nothing, and the parts follow. */
export interface DuckdbWrite {
  readonly table: DuckdbTableName;
  /** The new checkpoint; absent for a repair, which leaves it and overwrites whatever is stored. */
  readonly checkpoint?: number;
  /** The checkpoint from which a delivery was read, where that is known. */
  readonly after?: number;
  /** True when no record of the collection ever changes under its id. */
  readonly isAppendOnly: boolean;
}

/** Up to 2,048 records of a delivery. */
export interface DuckdbPart {
  /** Every record, also those that leave no row. */
  readonly ids: readonly string[];
  readonly sequences: Float64Array;
  /** True when a record of the part is a deletion. */
  readonly hasRemoved: boolean;
  /** True when none of the records had an earlier version. */
  readonly isNew?: boolean;
  /** The rows: `_id`, `_sequence`, then the columns of the table. */
  readonly rows: readonly PackedColumn[];
}
