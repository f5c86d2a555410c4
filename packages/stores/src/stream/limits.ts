import { StoreError } from "../errors.ts";

/** The limits of every stream engine. */
export const STREAM_LIMITS = { pageMax: 10_000, groupLengthMax: 255 } as const;

/** @throws StoreError `refused` for what is no size of a page, `limit` for one that is too large. */
export function checkPage(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new StoreError("refused", "a page has a whole number of 1 or more events");
  }
  if (limit > STREAM_LIMITS.pageMax) {
    throw new StoreError("limit", `a page has at most ${STREAM_LIMITS.pageMax} events`);
  }
}

/** @throws StoreError `refused` for what is no name of a group, `limit` for one that is too long. */
export function checkGroup(group: string): void {
  if (group.length > STREAM_LIMITS.groupLengthMax) {
    throw new StoreError(
      "limit",
      `a group's name has at most ${STREAM_LIMITS.groupLengthMax} characters`,
    );
  }
  if (group.length > 0 && group.isWellFormed() && !group.includes("\0")) return;
  throw new StoreError("refused", "a group needs a name without NUL or lone surrogates");
}
