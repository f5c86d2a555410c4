import { usageError } from "../command-error.ts";

/** Reads a whole number from 1 on. */
export function parseCount(text: string): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count > 0) return count;
  throw usageError(`not a number from 1 on: ${JSON.stringify(text)}`);
}

/** Collects an option that may be given more than once. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** Collects an option whose values are separated by commas and that may be given more than once. */
export function collectNames(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw usageError(`an empty name in ${JSON.stringify(text)}`);
  return [...before, ...names];
}

/** Reads `name=value`. */
export function parseAssignment(text: string): readonly [name: string, value: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw usageError(`not name=value: ${JSON.stringify(text)}`);
}

/** Reads `name`, `name:asc` or `name:desc`. */
export function parseOrder(text: string): {
  readonly name: string;
  readonly direction: "asc" | "desc";
} {
  const [, name, direction] = /^(.+?)(?::(asc|desc))?$/.exec(text) ?? [];
  if (name !== undefined) return { name, direction: direction === "desc" ? "desc" : "asc" };
  throw usageError(`not a sort order: ${JSON.stringify(text)}`, "write field or field:desc");
}
