import type { Filter, FilterLiteral } from "@custody/contract/filter";

import { StoreError } from "../errors.ts";

/** What lies at the end of one branch of a path; `undefined` where the branch ends before. */
export type BranchEnd = unknown;

/**
 * Every end of a path in a document, as the document role follows paths: an array on the way is stepped
 * through, one level at a step, and elements that are no objects lead nowhere.
 *
 * @param names the members' names, one a step.
 */
export function branchEnds(document: unknown, names: readonly string[]): readonly BranchEnd[] {
  const ends: BranchEnd[] = [];
  follow(document, names, 0, ends);
  return ends;
}

function follow(value: unknown, names: readonly string[], step: number, ends: BranchEnd[]): void {
  const name = names[step];
  if (!isObject(value) || name === undefined) return;
  const member = Object.hasOwn(value, name) ? value[name] : undefined;
  if (step === names.length - 1) ends.push(member);
  else if (Array.isArray(member)) {
    for (const element of member) follow(element, names, step + 1, ends);
  } else if (isObject(member)) follow(member, names, step + 1, ends);
  else ends.push(undefined);
}

/** Whether a document meets a filter, by the rules of the document role; for engines whose server cannot tell. */
export function meetsFilter(document: unknown, filter: Filter): boolean {
  switch (filter.op) {
    case "and":
      return filter.filters.every((one) => meetsFilter(document, one));
    case "or":
      return filter.filters.some((one) => meetsFilter(document, one));
    case "nor":
      return !filter.filters.some((one) => meetsFilter(document, one));
    case "not":
      return !meetsFilter(document, filter.filter);
    default:
      return meetsComparison(document, filter);
  }
}

type Comparison = Exclude<Filter, { readonly op: "and" | "or" | "nor" | "not" }>;

function meetsComparison(document: unknown, filter: Comparison): boolean {
  const ends = branchEnds(document, pathNames(filter.path));
  const some = (meets: (value: unknown) => boolean): boolean =>
    ends.some((end) => anyOf(end, meets));
  switch (filter.op) {
    case "eq":
      return some((value) => isSame(value, filter.value));
    case "ne":
      return !some((value) => isSame(value, filter.value));
    case "in":
      return some((value) => filter.values.some((one) => isSame(value, one)));
    case "nin":
      return !some((value) => filter.values.some((one) => isSame(value, one)));
    case "all":
      return (
        filter.values.length > 0 &&
        filter.values.every((one) => some((value) => isSame(value, one)))
      );
    case "exists":
      return ends.some((end) => end !== undefined) === filter.value;
    case "size":
      return ends.some((end) => Array.isArray(end) && end.length === filter.value);
    case "elemMatch":
      return ends.some(
        (end) =>
          Array.isArray(end) &&
          end.some((element) => isObject(element) && meetsFilter(element, filter.filter)),
      );
    default:
      return some((value) => isBeyondBound(value, filter.op, filter.value));
  }
}

/** The names of a path's members without `[]`. */
export function pathNames(path: string): readonly string[] {
  const names = path.split(".").map((part) => part.replace(/\[\]$/, ""));
  if (names.length > STEPS_MAX) {
    throw new StoreError("refused", `a path has at most ${STEPS_MAX} steps`);
  }
  return names;
}

const STEPS_MAX = 60;

/** A value, or one element of an array value. */
function anyOf(end: BranchEnd, meets: (value: unknown) => boolean): boolean {
  return Array.isArray(end) ? end.some(meets) : meets(end);
}

function isSame(value: unknown, literal: FilterLiteral): boolean {
  if (literal === null) return value === null || value === undefined;
  return isNumber(value) && isNumber(literal)
    ? compareNumbers(value, literal) === 0
    : value === literal;
}

function isBeyondBound(
  value: unknown,
  op: "gt" | "gte" | "lt" | "lte",
  bound: string | number | bigint,
): boolean {
  if (typeof bound === "string") {
    return typeof value === "string" && holds(op, compareTexts(value, bound));
  }
  return isNumber(value) && holds(op, compareNumbers(value, bound));
}

function holds(op: "gt" | "gte" | "lt" | "lte", order: number): boolean {
  if (order === 0) return op === "gte" || op === "lte";
  return order > 0 ? op === "gt" || op === "gte" : op === "lt" || op === "lte";
}

/** A number equals a bigint of its value, of which it is another kind. */
function compareNumbers(left: number | bigint, right: number | bigint): number {
  const [one, other] = [comparable(left), comparable(right)];
  return one < other ? -1 : one > other ? 1 : 0;
}

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** The number as stores compare it: whole numbers beyond 64 bits are the nearest double to all of them. */
export function comparable(value: number | bigint): number | bigint {
  const isBeyond = typeof value === "bigint" && (value > INT64_MAX || value < INT64_MIN);
  return isBeyond ? Number(value) : value;
}

/** By code point: UTF-16 units order otherwise from U+D800 on. */
function compareTexts(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
