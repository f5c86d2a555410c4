import { usageError } from "../command-error.ts";

const UNIT_MS = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
} as const;

/** Reads a duration as milliseconds: `90s`, `15m`, `1h`, `7d`, `2w`. */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|min|h|d|w)$/.exec(text) ?? [];
  const ms = Number(amount) * (UNIT_MS[unit as keyof typeof UNIT_MS] ?? Number.NaN);
  if (Number.isSafeInteger(ms) && ms > 0) return ms;
  throw usageError(`not a duration: ${JSON.stringify(text)}`, "write 90s, 15m, 1h, 7d or 2w");
}

/**
 * Reads an instant as epoch milliseconds: RFC 3339, a day, `now`, a time ago (`-7d`), or milliseconds
 * as they stand. A day is UTC's.
 */
export function parseInstant(text: string, nowMs: number): number {
  if (text === "now") return nowMs;
  if (/^\d{9,15}$/.test(text)) return Number(text);
  if (text.startsWith("-")) return nowMs - parseDuration(text.slice(1));
  const ms = /^\d{4}-\d{2}(-\d{2})?/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw usageError(
    `not an instant: ${JSON.stringify(text)}`,
    "write 2026-11-21, 2026-11-21T07:55:00Z, now, or -7d for seven days ago",
  );
}
