import { plainNumber } from "./cell.ts";
import type { Cell } from "./port.ts";

/** Makes a cell of what JSON says of a value of a ClickHouse type; `undefined` types are kept as text. */
export function compileCell(type: string): (value: unknown) => Cell {
  const { name, inner } = parseType(type);
  switch (name) {
    case "Nullable":
    case "LowCardinality":
      return compileCell(inner[0] ?? "");
    case "Array":
      return compileList(inner[0] ?? "");
    case "Tuple":
      return compileTuple(inner);
    case "Map":
      return compileMap(inner[1] ?? "");
    case "DateTime":
    case "DateTime64":
      return (value) => (typeof value === "string" ? instantText(value) : plainCell(value));
  }
  if (/^U?Int\d+$/.test(name)) return wholeCell;
  if (/^(?:B?Float\d*|BFloat16)$/.test(name)) return realCell;
  return plainCell;
}

const INTEGER = /^-?\d+$/;

function wholeCell(value: unknown): Cell {
  return typeof value === "string" && INTEGER.test(value)
    ? plainNumber(BigInt(value))
    : plainCell(value);
}

const NOT_FINITE: ReadonlyMap<unknown, number> = new Map([
  ["inf", Number.POSITIVE_INFINITY],
  ["-inf", Number.NEGATIVE_INFINITY],
  ["nan", Number.NaN],
  ["-nan", Number.NaN],
]);

function realCell(value: unknown): Cell {
  return NOT_FINITE.get(value) ?? plainCell(value);
}

function plainCell(value: unknown): Cell {
  return value === undefined ? null : (value as Cell);
}

function compileList(type: string): (value: unknown) => Cell {
  const part = compileCell(type);
  return (value) => (Array.isArray(value) ? value.map(part) : plainCell(value));
}

function compileMap(type: string): (value: unknown) => Cell {
  const part = compileCell(type);
  return (value) =>
    isObject(value)
      ? Object.entries(value).map(([key, member]): Cell => [key, part(member)])
      : plainCell(value);
}

// A tuple whose elements have names is an object in JSON, any other a list.
function compileTuple(types: readonly string[]): (value: unknown) => Cell {
  const parts = types.map((type) => {
    const [, name = "", rest] = /^(`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*) (.+)$/s.exec(type) ?? [];
    return { name, cell: compileCell(rest ?? type) };
  });
  return (value) => {
    if (Array.isArray(value)) {
      return value.map((member, index) => parts[index]?.cell(member) ?? plainCell(member));
    }
    if (!isObject(value)) return plainCell(value);
    return Object.fromEntries(
      Object.entries(value).map(([name, member], index) => [
        name,
        parts[index]?.cell(member) ?? plainCell(member),
      ]),
    );
  };
}

// `2026-01-01 00:00:00.005`: the session's time zone is UTC. A type with a zone of its own keeps its text.
function instantText(text: string): string {
  const [, day, time, fraction = ""] =
    /^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})(\.\d+)?$/.exec(text) ?? [];
  if (day === undefined || time === undefined) return text;
  const digits = fraction.replace(/0+$/, "").padEnd(4, "0").replace(/^0/, ".");
  return `${day}T${time}${digits}Z`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Splits `Map(String, Array(Int8))` into its name and what is between the brackets. */
function parseType(type: string): { readonly name: string; readonly inner: readonly string[] } {
  const open = type.indexOf("(");
  if (open < 0 || !type.endsWith(")")) return { name: type, inner: [] };
  const inner: string[] = [];
  let depth = 0;
  let start = open + 1;
  let quote = "";
  for (let at = open + 1; at < type.length - 1; at += 1) {
    const letter = type[at] ?? "";
    if (quote !== "") {
      if (letter === "\\") at += 1;
      else if (letter === quote) quote = "";
    } else if (letter === "'" || letter === "`") quote = letter;
    else if (letter === "(") depth += 1;
    else if (letter === ")") depth -= 1;
    else if (letter === "," && depth === 0) {
      inner.push(type.slice(start, at).trim());
      start = at + 1;
    }
  }
  inner.push(type.slice(start, -1).trim());
  return { name: type.slice(0, open), inner };
}
