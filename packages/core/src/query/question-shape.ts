/** Members whose value says what is asked for rather than about whom: they stay. */
const STRUCTURE: ReadonlySet<string> = new Set([
  "bucketMs",
  "column",
  "depthMax",
  "direction",
  "facets",
  "field",
  "fill",
  "fn",
  "groupBy",
  "label",
  "limit",
  "measurement",
  "name",
  "only",
  "op",
  "path",
  "rollupMs",
  "rowsMax",
  "source",
  "timeMs",
  "top",
  "type",
  "types",
]);

/** Literals of SQL and Cypher: quoted texts with doubled or escaped quotes, and numbers. */
const LITERAL = /'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|\b\d[\d_.eE]*\b/g;

/**
 * What a question looks like without its values, which may be personal: names and structure stay, a
 * value becomes its kind, and a statement loses its literals.
 */
export function shapeOf(question: unknown): unknown {
  return shape(question, false);
}

function shape(value: unknown, isStructure: boolean): unknown {
  if (value instanceof Uint8Array) return `<${value.byteLength} bytes>`;
  if (Array.isArray(value)) return shapeOfList(value, isStructure);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, part]) => [name, member(name, part)]),
    );
  }
  return isStructure ? value : `<${typeof value}>`;
}

function member(name: string, value: unknown): unknown {
  if (name === "statement" && typeof value === "string") return value.replaceAll(LITERAL, "?");
  // Their members are named by users, after tags and parameters.
  if (name === "where" || name === "parameters") return valuesByName(value);
  return shape(value, STRUCTURE.has(name));
}

function valuesByName(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return shape(value, false);
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, shape(part, false)]),
  );
}

/** A list of plain values is one of so many: a thousand ids have the shape of one. */
function shapeOfList(values: readonly unknown[], isStructure: boolean): unknown {
  const [first] = values;
  if (isStructure || (typeof first === "object" && first !== null)) {
    return values.map((value) => shape(value, isStructure));
  }
  return `<${values.length} values>`;
}
