import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { ContractError } from "@custody/contract/errors";
import { parseJson } from "@custody/contract/json";
import type { JsonValue } from "@custody/contract/json";

import { usageError } from "../command-error.ts";

/** The options by which records are narrowed. */
export interface FilterOptions {
  readonly filter?: string;
  readonly where?: readonly string[];
}

const WHERE = /^([^=!<>]+)(=|!=|>=|<=|>|<)([\s\S]*)$/;
const OPERATORS = { ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte" } as const;

/** Puts `--filter` and every `--where` together; all of them must hold. `undefined` when there is none. */
export async function filterOf(
  { filter, where = [] }: FilterOptions,
  directory: string,
): Promise<unknown> {
  const conditions: unknown[] = where.map(parseWhere);
  if (filter !== undefined) conditions.unshift(await readJson("--filter", filter, directory));
  return conditions.length > 1 ? { $and: conditions } : conditions[0];
}

/** Reads an argument that is JSON, or `@file` with JSON in it. */
export async function readJson(
  option: string,
  text: string,
  directory: string,
): Promise<JsonValue> {
  const json = text.startsWith("@")
    ? await readFile(resolve(directory, text.slice(1)), "utf8")
    : text;
  try {
    return parseJson(json);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    throw usageError(
      `${option} is ${error.message}`,
      "quote it for the shell, or write it to a file and give @file",
    );
  }
}

/**
 * Reads `field=value` and its kin as a filter.
 *
 * The shell knows text only, so `latency_ms=120` means the number and the text alike.
 */
export function parseWhere(text: string): unknown {
  const [, field = "", operator, value = ""] = WHERE.exec(text) ?? [];
  if (operator === undefined) {
    throw usageError(
      `not a condition: ${JSON.stringify(text)}`,
      "write field=value, or with !=, <, <=, >, >= between, in quotes",
    );
  }
  const literal = literalOf(value);
  if (operator === "=" || operator === "!=") {
    if (literal === undefined)
      return operator === "=" ? { [field]: value } : { [field]: { $ne: value } };
    return { [field]: { [operator === "=" ? "$in" : "$nin"]: [literal, value] } };
  }
  const bound = typeof literal === "number" || typeof literal === "bigint" ? literal : value;
  return { [field]: { [OPERATORS[operator as keyof typeof OPERATORS]]: bound } };
}

/** What the text is when it is no text: a number, true, false or null. */
function literalOf(text: string): number | bigint | boolean | null | undefined {
  if (!/^(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$/.test(text)) return undefined;
  try {
    return parseJson(text) as number | bigint | boolean | null;
  } catch {
    // Digits that JSON does not take for a number, such as 007, are text.
    return undefined;
  }
}
