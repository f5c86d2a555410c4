import { hash } from "node:crypto";

import { parseJson } from "@custody/contract/json";
import { asText } from "@custody/contract/value-expression";

import { memberOf } from "../drivers/opensearch-errors.ts";
import { filterValue, textHash } from "./content.ts";
import type { FilterValue, SearchMapping } from "./content.ts";

/** UTF-16 units of a text that are compared as they are; a term has at most 32,766 bytes (Lucene). */
export const COMPARED_LENGTH_MAX = 8_000;

// Follows the beginning of a longer text, so that it sorts behind every text that is only that beginning.
const CUT = "\u{10FFFF}";

/** What each kind of value begins with in an index, and what comes behind all of the kind. */
export const KINDS = {
  boolean: { first: "b", end: "c" },
  number: { first: "n", end: "o" },
  string: { first: "s", end: "t" },
} as const;

/** A row's document. */
export function encodeRow(
  mapping: SearchMapping,
  row: { readonly id: string; readonly sequence: number },
  record: unknown,
): Readonly<Record<string, unknown>> {
  const texts = mapping.texts(record);
  const filters = mapping.filters(record);
  const values = valuesText(filters);
  const document: Record<string, unknown> = { id: row.id, s: row.sequence };
  let size = values.length;
  for (const [position, text] of texts.entries()) {
    size += text.length;
    if (text !== "") document[`t${position}`] = text.toWellFormed();
  }
  document["b"] = size;
  document["c"] = values;
  return Object.assign(document, filterKeys(filters));
}

/** What is compared and counted of filter values. */
function filterKeys(filters: readonly (readonly FilterValue[])[]): Record<string, unknown> {
  const keys: Record<string, unknown> = {};
  for (const [position, list] of filters.entries()) {
    if (list.length === 0) continue;
    keys[`f${position}`] = list.map(comparedKey);
    if (list.length > 1) keys[`n${position}`] = list.length;
  }
  return keys;
}

/** The content form of a stored row. What does not belong together has content of its own. */
export function rowContent(mapping: SearchMapping, source: unknown): string {
  const texts = mapping.fieldNames.map((_, position) => {
    const text = memberOf(source, `t${position}`);
    return typeof text === "string" ? text : "";
  });
  const filters = readValues(source);
  if (filters === undefined) return "altered";
  const keys = filterKeys(filters);
  const isWhole = mapping.filterNames.every((_, position) =>
    ["f", "n"].every((kind) => {
      const name = `${kind}${position}`;
      return JSON.stringify(memberOf(source, name)) === JSON.stringify(keys[name]);
    }),
  );
  const content = mapping.content(texts.map(textHash), filters);
  return isWhole ? content : `altered ${content}`;
}

/** The filter values of a stored row; `undefined` where it holds what we do not write. */
export function readValues(source: unknown): readonly (readonly FilterValue[])[] | undefined {
  const text = memberOf(source, "c");
  const lists = typeof text === "string" ? parsed(text) : undefined;
  if (!Array.isArray(lists)) return undefined;
  return lists.map((list: unknown) => (Array.isArray(list) ? list.map(filterValue) : []));
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** JSON text that tells whole numbers held as doubles from those held exactly. */
function valuesText(filters: readonly (readonly FilterValue[])[]): string {
  return `[${filters.map((list) => `[${list.map(valueText).join(",")}]`).join(",")}]`;
}

function valueText(value: FilterValue): string {
  if (typeof value === "bigint") return value.toString();
  const isRounded =
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded ? value.toExponential() : JSON.stringify(value);
}

/**
 * A value as the index compares it: equal values have equal keys, and within a kind keys are in the
 * values' order.
 */
export function comparedKey(value: FilterValue): string {
  if (typeof value === "string") return `${KINDS.string.first}${cutText(value)}`;
  if (typeof value === "boolean") return `${KINDS.boolean.first}${value ? 1 : 0}`;
  return `${KINDS.number.first}${numberKey(value)}`;
}

/** A key's value as facets show it; of a long text only the beginning, see {@link isCut}. */
export function keyText(key: string): string {
  const rest = key.slice(1);
  if (key.startsWith(KINDS.string.first)) return rest;
  return key.startsWith(KINDS.boolean.first) ? String(rest === "1") : asText(numberOf(rest));
}

/** True for the key of a text that is longer than what is kept of it. */
export function isCut(key: string): boolean {
  return key.length > COMPARED_LENGTH_MAX + 1;
}

function cutText(text: string): string {
  if (text.length <= COMPARED_LENGTH_MAX) return text;
  const last = text.charCodeAt(COMPARED_LENGTH_MAX - 1);
  const isHalf = last >= 0xd8_00 && last < 0xdc_00;
  const beginning = text.slice(0, COMPARED_LENGTH_MAX - (isHalf ? 1 : 0));
  return `${beginning}${CUT}${hash("sha256", text, "hex")}`;
}

const SIGN = 1n << 63n;
const SCRATCH = new DataView(new ArrayBuffer(8));
// A whole number of 64 bits lies at most 512 from the nearest double.
const REST_MIDDLE = 0x80_00;

/** Sixteen digits of the nearest double, sorted like it, and four of what a whole number has beyond it. */
function numberKey(value: number | bigint): string {
  const double = Number(value);
  const rest = typeof value === "bigint" ? Number(value - BigInt(double)) : 0;
  SCRATCH.setFloat64(0, double);
  const bits = SCRATCH.getBigUint64(0);
  const sorted = (bits & SIGN) === 0n ? bits | SIGN : BigInt.asUintN(64, ~bits);
  return `${sorted.toString(16).padStart(16, "0")}${(rest + REST_MIDDLE).toString(16).padStart(4, "0")}`;
}

/** The number of a key. Whole numbers of 64 bits are written in full, however they were written. */
function numberOf(key: string): number | bigint {
  const sorted = BigInt(`0x${key.slice(0, 16)}`);
  const bits = (sorted & SIGN) === 0n ? BigInt.asUintN(64, ~sorted) : sorted ^ SIGN;
  SCRATCH.setBigUint64(0, bits);
  const double = SCRATCH.getFloat64(0);
  if (!Number.isInteger(double) || Number.isSafeInteger(double)) return double;
  const whole = BigInt(double) + BigInt(Number.parseInt(key.slice(16), 16) - REST_MIDDLE);
  return BigInt.asIntN(64, whole) === whole ? whole : double;
}
