import { branchEnds, comparable } from "./path-values.ts";

/**
 * The texts by which a document sorts at a path: its least value for ascending order, its greatest for
 * descending. Plain comparison of the texts' UTF-8 bytes is the order of the document role: absent,
 * numbers, text, objects, false, true.
 */
export interface SortKeys {
  readonly asc: string;
  readonly desc: string;
}

const ABSENT = "0";

/** The sort keys of a document at the path of these names. */
export function sortKeys(document: unknown, names: readonly string[]): SortKeys {
  let least: string | undefined;
  let greatest: string | undefined;
  for (const end of branchEnds(document, names)) {
    for (const value of Array.isArray(end) ? (end as readonly unknown[]) : [end]) {
      const key = keyOf(value);
      if (key === undefined) continue;
      if (least === undefined || compareKeys(key, least) < 0) least = key;
      if (greatest === undefined || compareKeys(key, greatest) > 0) greatest = key;
    }
  }
  return { asc: least ?? ABSENT, desc: greatest ?? ABSENT };
}

/** Orders two keys as a server does that compares UTF-8 bytes. */
export function compareKeys(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function keyOf(value: unknown): string | undefined {
  switch (typeof value) {
    case "number":
    case "bigint":
      return `1${numberKey(value)}`;
    case "string":
      return `2${value}`;
    case "boolean":
      return value ? "5" : "4";
    default:
      return typeof value === "object" && value !== null && !Array.isArray(value) ? "3" : undefined;
  }
}

const bits = new DataView(new ArrayBuffer(8));
const SIGN = 2n ** 63n;
const ALL = 2n ** 64n - 1n;
// An integer of 64 bits is at most 512 away from the nearest double.
const APART = 0x8000;

/** 20 hex digits that order as the numbers do: the nearest double's bits, then how far the integer is from it. */
function numberKey(given: number | bigint): string {
  const value = comparable(given);
  const nearest = Number(value) === 0 ? 0 : Number(value);
  bits.setFloat64(0, nearest);
  const raw = bits.getBigUint64(0);
  const ordered = (raw & SIGN) === 0n ? raw | SIGN : raw ^ ALL;
  const apart = typeof value === "bigint" ? Number(value - BigInt(nearest)) : 0;
  return ordered.toString(16).padStart(16, "0") + (apart + APART).toString(16).padStart(4, "0");
}
