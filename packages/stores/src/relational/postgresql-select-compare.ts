import type { FilterLiteral } from "@custody/contract/filter";
import { canonicalJson } from "@custody/contract/json";
import { asInstantMs } from "@custody/contract/value-expression";

import { bigintArray, doubleArray, sql, storedText, textArray } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { joinConditions, negated, SQL_FALSE, verbatim } from "../drivers/sql-fragment.ts";
import type { Comparison } from "../drivers/sql-fragment.ts";
import { StoreError } from "../errors.ts";
import { beyondStandIn, boundStandIn, standInOf } from "./postgresql-columns.ts";
import type { PgColumn } from "./postgresql-columns.ts";

type Literal = Exclude<FilterLiteral, null>;
type Order = "gt" | "gte" | "lt" | "lte";

/** Compiles one comparison of a filter. @throws StoreError `refused` where the column does not know it. */
export function compileComparison(filter: Comparison, column: PgColumn): PgFragment {
  const name = verbatim(column.sqlName);
  switch (filter.op) {
    case "exists":
      return filter.value ? sql`${name} IS NOT NULL` : sql`${name} IS NULL`;
    case "eq":
      return equals(column, [filter.value]);
    case "ne":
      return negated(equals(column, [filter.value]));
    case "in":
      return equals(column, filter.values);
    case "nin":
      return negated(equals(column, filter.values));
    case "all":
      return filter.values.length === 0
        ? SQL_FALSE
        : joinConditions(
            filter.values.map((value) => equals(column, [value])),
            "AND",
          );
    case "size":
      return column.type === "text[]" ? sql`cardinality(${name}) = ${filter.value}` : SQL_FALSE;
    case "elemMatch":
      throw new StoreError("refused", "columns hold plain values: $elemMatch has no meaning");
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return ordered(column, filter.op, filter.value);
  }
}

function equals(column: PgColumn, literals: readonly FilterLiteral[]): PgFragment {
  const present = literals.filter((literal) => literal !== null);
  const name = verbatim(column.sqlName);
  const isNull = present.length < literals.length ? [sql`${name} IS NULL`] : [];
  const found = present.length === 0 ? [] : equalsOneOf(column, present);
  return joinConditions([...isNull, ...found], "OR");
}

/** Where the column equals one of the literals; those of another kind never do. */
function equalsOneOf(column: PgColumn, literals: readonly Literal[]): readonly PgFragment[] {
  const name = verbatim(column.sqlName);
  switch (column.type) {
    case "text": {
      const texts = textsOf(literals);
      const isPlain = !column.hasStandIns || texts.every((text) => standInOf(text).isExact);
      if (!isPlain) return texts.map((text) => sameAs(column, text));
      return texts.length === 0 ? [] : [sql`${name} = ANY(${textArray(texts)})`];
    }
    case "text[]": {
      const texts = textsOf(literals);
      return texts.length === 0 ? [] : [sql`${name} && ${textArray(texts)}`];
    }
    case "json":
      return [sql`${name}::text = ANY(${textArray(literals.map(canonicalJson))})`];
    case "boolean": {
      const truths = literals.filter((literal) => typeof literal === "boolean");
      return truths.map((truth) => sql`${name} = ${truth}::boolean`);
    }
    case "integer": {
      const numbers = literals.flatMap((literal) => exactWhole(literal) ?? []);
      return numbers.length === 0 ? [] : [sql`${name} = ANY(${bigintArray(numbers)})`];
    }
    case "real": {
      const numbers = literals.flatMap((literal) => exactDouble(literal) ?? []);
      return numbers.length === 0 ? [] : [sql`${name} = ANY(${doubleArray(numbers)})`];
    }
    case "timestamp":
      return literals.flatMap((literal) => {
        const instant = exactWhole(instantOf(literal));
        return instant === undefined || instant > INSTANT_MAX_MS ? [] : [sameAs(column, instant)];
      });
    case "vector":
    case "counts":
      throw onlyExists(column);
  }
}

/** Where a column that may hold stand-ins has this value. */
function sameAs(column: PgColumn, value: string | bigint): PgFragment {
  const { held, isExact } = standInOf(value);
  const same = sql`${verbatim(column.sqlName)} = ${boundStandIn(held)}`;
  return isExact ? same : sql`(${same} AND ${verbatim(beyondStandIn(column))} = ${exact(value)})`;
}

const SIGNS = { gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

function ordered(column: PgColumn, op: Order, literal: string | number | bigint): PgFragment {
  const name = verbatim(column.sqlName);
  switch (column.type) {
    case "text":
      return typeof literal === "string" ? inOrder(column, op, storedText(literal)) : SQL_FALSE;
    case "text[]":
      return typeof literal === "string"
        ? sql`EXISTS (SELECT 1 FROM unnest(${name}) AS e
            WHERE e ${verbatim(SIGNS[op])} ${storedText(literal)}::text)`
        : SQL_FALSE;
    case "json":
      return sql`${name}::text COLLATE "C" ${verbatim(SIGNS[op])} ${canonicalJson(literal)}::text`;
    case "integer":
      return wholeInOrder(column, { op, literal, greatest: INT64_MAX });
    case "timestamp":
      return wholeInOrder(column, { op, literal: instantOf(literal), greatest: INSTANT_MAX_MS });
    case "real":
      return doubleInOrder(column, op, literal);
    case "boolean":
      return SQL_FALSE;
    case "vector":
    case "counts":
      throw onlyExists(column);
  }
}

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
// Content forms keep instants as safe integers, all of which `timestamptz` knows on this side.
const INSTANT_MAX_MS = BigInt(Number.MAX_SAFE_INTEGER);

/** Compares whole numbers, also with what lies between two of them or beyond all that a column holds. */
function wholeInOrder(
  column: PgColumn,
  { op, literal, greatest }: { op: Order; literal: unknown; greatest: bigint },
): PgFragment {
  if (typeof literal !== "bigint" && (typeof literal !== "number" || Number.isNaN(literal))) {
    return SQL_FALSE;
  }
  const isGreater = op === "gt" || op === "gte";
  const isPresent = sql`${verbatim(column.sqlName)} IS NOT NULL`;
  if (literal > greatest) return isGreater ? SQL_FALSE : isPresent;
  if (literal < INT64_MIN) return isGreater ? isPresent : SQL_FALSE;
  if (typeof literal === "bigint") return inOrder(column, op, literal);
  const floor = Math.floor(literal);
  if (floor === literal) return inOrder(column, op, BigInt(literal));
  return inOrder(column, isGreater ? "gt" : "lte", BigInt(floor));
}

/** Where a column's value lies before or after this one, which it could hold or have a stand-in for. */
function inOrder(column: PgColumn, op: Order, value: string | bigint): PgFragment {
  const name = verbatim(column.sqlName);
  const sign = verbatim(SIGNS[op]);
  if (!column.hasStandIns) return sql`${name} ${sign} ${exact(value)}`;
  const { held, isExact } = standInOf(value);
  if (isExact) return sql`${name} ${sign} ${boundStandIn(held)}`;
  const strict = verbatim(op === "gt" || op === "gte" ? ">" : "<");
  return sql`(${name} ${strict} ${boundStandIn(held)} OR (${name} = ${boundStandIn(held)}
    AND ${verbatim(beyondStandIn(column))} ${sign} ${exact(value)}))`;
}

function exact(value: string | bigint): PgFragment {
  return typeof value === "string" ? sql`${value}::text` : sql`${value}::bigint`;
}

/** Compares doubles, also with whole numbers that no double equals. */
function doubleInOrder(
  { sqlName }: PgColumn,
  op: Order,
  literal: string | number | bigint,
): PgFragment {
  if (typeof literal === "string") return SQL_FALSE;
  const nearest = Number(literal);
  let sign: string = SIGNS[op];
  if (exactDouble(literal) === undefined) {
    const isAbove = nearest > literal;
    if (op === "gt" || op === "gte") sign = isAbove ? ">=" : ">";
    else sign = isAbove ? "<" : "<=";
  }
  return sql`${verbatim(sqlName)} ${verbatim(sign)} ${nearest}::double precision`;
}

function textsOf(literals: readonly Literal[]): readonly string[] {
  return literals.filter((literal) => typeof literal === "string").map(storedText);
}

/** A literal as the whole number of 64 bits it is, else `undefined`. */
function exactWhole(literal: unknown): bigint | undefined {
  const isWhole = typeof literal === "bigint" || Number.isInteger(literal);
  if (!isWhole) return undefined;
  const whole = BigInt(literal as number | bigint);
  return whole >= INT64_MIN && whole <= INT64_MAX ? whole : undefined;
}

/** A literal as the double it is, else `undefined`. */
function exactDouble(literal: Literal): number | undefined {
  if (typeof literal === "number") return literal;
  if (typeof literal !== "bigint") return undefined;
  const nearest = Number(literal);
  return Number.isFinite(nearest) && BigInt(nearest) === literal ? nearest : undefined;
}

function instantOf(literal: Literal): number | bigint | undefined {
  if (typeof literal === "string") return asInstantMs(literal);
  return typeof literal === "boolean" ? undefined : literal;
}

function onlyExists({ name }: PgColumn): StoreError {
  return new StoreError("refused", `${JSON.stringify(name)} can only be asked whether it exists`);
}
