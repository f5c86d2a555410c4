import { stringifyJson } from "@custody/contract/json";

import { formatNumber } from "./quantity.ts";
import { visibleText } from "./visible-text.ts";

/** A record's value as one piece of text for people. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint") return formatNumber(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return stringifyJson(value);
}

/** Whether a column of these values is best aligned to the right. */
export function isNumeric(values: readonly unknown[]): boolean {
  const present = values.filter((value) => value !== null && value !== undefined);
  return (
    present.length > 0 &&
    present.every((value) => typeof value === "number" || typeof value === "bigint")
  );
}

/** A value as JSON over several lines for people. */
export function indentedJson(value: unknown, indent = ""): string {
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    const parts = value.map((one) => `${deeper}${indentedJson(one, deeper)}`);
    return `[\n${parts.join(",\n")}\n${indent}]`;
  }
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value);
    if (members.length === 0) return "{}";
    const parts = members.map(
      ([name, one]) =>
        `${deeper}${visibleText(JSON.stringify(name))}: ${indentedJson(one, deeper)}`,
    );
    return `{\n${parts.join(",\n")}\n${indent}}`;
  }
  return visibleText(stringifyJson(value ?? null));
}
