const COUNT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 });

/** A number with separators: `12,345`. */
export function formatNumber(value: number | bigint): string {
  return COUNT.format(value);
}

const BYTE_UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

/** Bytes in decimal units: `3.1 kB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** A duration: `340 ms`, `2.1 s`, `3 min 5 s`, `2 h 10 min`, `4 d`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return pair(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return pair(minutes, 60, "h", "min");
  return pair(Math.round(minutes / 60), 24, "d", "h");
}

function pair(value: number, size: number, major: string, minor: string): string {
  const rest = value % size;
  const whole = `${Math.trunc(value / size)} ${major}`;
  return rest === 0 ? whole : `${whole} ${rest} ${minor}`;
}

/** An instant in UTC: `2026-11-21 07:55:28 UTC`. */
export function formatInstant(atMs: number): string {
  const date = new Date(atMs);
  if (Number.isNaN(date.getTime())) return `${atMs} ms`;
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** A count with its noun: `1 record`, `2 entries`. */
export function countOf(count: number, one: string, many: string = `${one}s`): string {
  return `${formatNumber(count)} ${count === 1 ? one : many}`;
}
