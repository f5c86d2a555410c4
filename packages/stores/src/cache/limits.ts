import { StoreError } from "../errors.ts";
import type { CacheLimits } from "./port.ts";

/** Answers a key as it is. @throws StoreError `limit` when it is too long. */
export function checkCacheKey({ keyLengthMax }: CacheLimits, key: string): string {
  if (key.length <= keyLengthMax) return key;
  throw new StoreError("limit", `a cache key has at most ${keyLengthMax} characters`);
}

/** @throws StoreError `limit` for a value that is too long. */
export function checkValue({ valueBytesMax }: CacheLimits, value: Uint8Array): void {
  if (value.byteLength <= valueBytesMax) return;
  throw new StoreError("limit", `a cached value has at most ${valueBytesMax} bytes`);
}

/** @throws StoreError `refused` for what is no whole number of milliseconds above 0. */
export function checkLife(ms: number): void {
  if (Number.isSafeInteger(ms) && ms > 0) return;
  throw new StoreError("refused", "a life or window is a whole number of milliseconds above 0");
}

/** @throws StoreError `refused` for a window that is none, `limit` for more uses than a window allows. */
export function checkRate(
  { rateMax }: CacheLimits,
  { limit, windowMs }: { readonly limit: number; readonly windowMs: number },
): void {
  checkLife(windowMs);
  if (Number.isInteger(limit) && limit >= 0 && limit <= rateMax) return;
  throw new StoreError("limit", `a window allows 0 to ${rateMax} uses`);
}
