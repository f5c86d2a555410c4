import { StoreError } from "../errors.ts";
import type { GraphLimits, PathQuery } from "./port.ts";

/** What every engine answers at most: trails of more edges are too many to walk where they would matter. */
export const GRAPH_LIMITS: GraphLimits = { depthMax: 16, rowsMax: 10_000 };

/** Longest statement of a user, in UTF-16 units. */
export const STATEMENT_LENGTH_MAX: number = 64 * 1024;

/** @throws StoreError `refused` for what is no number of rows, `limit` for too many. */
export function checkRows(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new StoreError("refused", "a limit is a whole number of 1 or more");
  }
  if (limit > GRAPH_LIMITS.rowsMax) {
    throw new StoreError("limit", `at most ${GRAPH_LIMITS.rowsMax} rows are answered`);
  }
}

/** @throws StoreError as {@link checkRows}, and for the depth alike. */
export function checkPaths({ limit, depthMax }: PathQuery): void {
  checkRows(limit);
  if (!Number.isInteger(depthMax) || depthMax < 1) {
    throw new StoreError("refused", "depthMax is a whole number of 1 or more");
  }
  if (depthMax > GRAPH_LIMITS.depthMax) {
    throw new StoreError("limit", `paths are at most ${GRAPH_LIMITS.depthMax} edges long`);
  }
}
