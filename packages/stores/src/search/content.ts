import { hash } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";
import type { SearchPlacement } from "@custody/contract/placement";
import { asText, compileValue } from "@custody/contract/value-expression";

/** A value to narrow by. Whole numbers beyond a double are `bigint` of 64 bits; greater ones are text. */
export type FilterValue = string | number | bigint | boolean;

/** How a placement reads a record: names sorted, one entry a name in each list. */
export interface SearchMapping {
  readonly fieldNames: readonly string[];
  readonly weights: readonly number[];
  readonly filterNames: readonly string[];
  /** The texts to be searched, one a field; several values are put on lines of their own. */
  texts(record: unknown): string[];
  /** The values to narrow by, one list a filter, without repetition. */
  filters(record: unknown): FilterValue[][];
  /** Canonical JSON of a row's text hashes and filter values: what reconciliation hashes. */
  content(textHashes: readonly string[], filters: readonly (readonly FilterValue[])[]): string;
}

/** Compiles a placement. */
export function compileSearch(placement: SearchPlacement): SearchMapping {
  const fields = byName(placement.fields);
  const filters = byName(placement.filters ?? {});
  const fieldNames = fields.map(([name]) => name);
  const filterNames = filters.map(([name]) => name);
  const takeTexts = fields.map(([, { from }]) => compileValue(from));
  const takeFilters = filters.map(([, from]) => compileValue(from));
  return {
    fieldNames,
    weights: fields.map(([, { weight }]) => weight ?? 1),
    filterNames,
    texts: (record) => takeTexts.map((take) => fieldText(take(record))),
    filters: (record) => takeFilters.map((take) => filterValues(take(record))),
    content: (textHashes, values) =>
      canonicalJson({ texts: textHashes, filters: values.map((list) => [...list]) }),
  };
}

/** The content form of a record in a search collection, as the journal's side computes it. */
export function searchContent(placement: SearchPlacement): (record: unknown) => string {
  const mapping = compileSearch(placement);
  return (record) => mapping.content(mapping.texts(record).map(textHash), mapping.filters(record));
}

const EMPTY_HASH = "e3b0c44298fc1c14";

/** First 64 bits of SHA-256 over a text, as 16 hex digits. */
export function textHash(text: string): string {
  return text === "" ? EMPTY_HASH : hash("sha256", text.toWellFormed(), "hex").slice(0, 16);
}

function byName<Value>(map: Readonly<Record<string, Value>>): [string, Value][] {
  return Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1));
}

function fieldText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  return Array.isArray(value) ? value.map(asText).join("\n") : asText(value);
}

function filterValues(value: unknown): FilterValue[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return [filterValue(value)];
  const present = value.filter((one) => one !== undefined && one !== null);
  return [...new Set(present.map(filterValue))];
}

/** A literal as filters hold it: well-formed text, numbers without -0, integers of 64 bits. */
export function filterValue(value: unknown): FilterValue {
  if (typeof value === "string") return value.toWellFormed();
  // JSON knows no infinity; adding 0 turns -0 into 0, which engines do not keep apart.
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : String(value);
  if (typeof value === "boolean") return value;
  if (typeof value === "bigint") return wholeNumber(value);
  return canonicalJson(value).toWellFormed();
}

function wholeNumber(value: bigint): number | bigint | string {
  if (Number.isSafeInteger(Number(value))) return Number(value);
  return BigInt.asIntN(64, value) === value ? value : value.toString();
}
