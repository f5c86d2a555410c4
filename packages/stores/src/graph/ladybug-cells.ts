import type { ColumnType } from "@custody/contract/placement";
import { asText } from "@custody/contract/value-expression";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { Cell } from "../analytics/port.ts";

/** A property as a statement's parameter: scalars as text, which is cast exactly; lists as lists of text. */
export type PropertyParameter = string | string[] | null;

/** Turns a property into a parameter. */
export function propertyParameter(value: ColumnValue | undefined): PropertyParameter {
  if (value === undefined || value === null) return null;
  return Array.isArray(value) ? value.map(asText) : asText(value);
}

/** The expression that turns a parameter back into the column's type. */
export function castParameter(type: ColumnType, parameter: string): string {
  switch (type) {
    case "text":
    case "json":
    case "text[]":
      return parameter;
    case "integer":
      return `CAST(${parameter} AS INT128)`;
    case "real":
      return `CAST(${parameter} AS DOUBLE)`;
    case "boolean":
      return `CAST(${parameter} AS BOOLEAN)`;
    case "timestamp":
      return `epoch_ms(CAST(${parameter} AS INT64))`;
    case "vector":
      return `CAST(${parameter} AS DOUBLE[])`;
  }
}

/**
 * A parameter row that no statement keeps, first in every list: LadybugDB takes a column's type from
 * the first rows, and one that begins with null or an empty list has none.
 */
export function typedParameter(type: ColumnType): PropertyParameter {
  return type === "text[]" || type === "vector" ? ["0"] : "0";
}

/** A stored property in the form of `normalProperty`. */
export function storedProperty(value: unknown): ColumnValue {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.getTime();
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (typeof value === "number") return value + 0;
  if (typeof value === "string" || typeof value === "boolean") return value;
  return Array.isArray(value) ? value.map(asText) : null;
}

/** A stored vector in the form of `normalProperty`. */
export function storedVector(value: unknown): ColumnValue {
  return Array.isArray(value) ? value.map(Number) : null;
}

const HIDDEN = new Set(["_id", "_label", "_src", "_dst", "_records", "_sequence", "_said", "id"]);

/** A value of a user's statement as a cell; nodes, edges and paths become plain objects without bookkeeping. */
export function answerCell(value: unknown): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") {
    return value;
  }
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(answerCell);
  if (typeof value !== "object") return null;
  return objectCell(value as Readonly<Record<string, unknown>>);
}

function objectCell(value: Readonly<Record<string, unknown>>): Cell {
  if ("_nodes" in value && "_rels" in value) {
    return { nodes: answerCell(value["_nodes"]), edges: answerCell(value["_rels"]) };
  }
  if (!("_label" in value && "_id" in value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, answerCell(member)]),
    );
  }
  const properties = Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => !HIDDEN.has(name) && member !== null && member !== undefined)
      .map(([name, member]) => [name, answerCell(member)]),
  );
  return "_src" in value
    ? { type: answerCell(value["_label"]), records: answerCell(value["_records"]) }
    : { label: answerCell(value["_label"]), id: answerCell(value["id"]), properties };
}
