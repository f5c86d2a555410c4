/** A JSON object whose members are not known. */
export type Fields = Readonly<Record<string, unknown>>;

/** The value as an object, or `undefined` for anything else. */
export function asFields(value: unknown): Fields | undefined {
  return isFields(value) ? value : undefined;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value as a list; anything else is an empty one. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** Text that is not empty, or `undefined`. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A finite number, or `undefined`. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** A whole number that a double holds exactly, or `undefined`. */
export function wholeOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
}

/** Text elements of a list, or `undefined` where there is none. */
export function textsOf(value: unknown): readonly string[] | undefined {
  const texts = asList(value).filter((one) => typeof one === "string");
  return texts.length === 0 ? undefined : texts;
}

/** Whether a value says nothing: null, empty text, list or object. */
export function isBlank(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** The members that say something. */
export function withoutBlanks(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isBlank(value)));
}

/**
 * What is left of a tool's object once the mapped members are taken: kept as it came, so that nothing
 * the tool said is lost. `undefined` when nothing is left.
 */
export function restOf(fields: Fields, mapped: ReadonlySet<string>): Fields | undefined {
  const rest = Object.entries(fields).filter(
    ([name, value]) => !mapped.has(name) && !isBlank(value),
  );
  return rest.length === 0 ? undefined : Object.fromEntries(rest);
}

/** Drops members that are `undefined`, which a record may not hold. */
export function defined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/**
 * An instant as RFC 3339 text in UTC; a time without a zone is read as UTC, so that the same file
 * gives the same record on every machine. `undefined` for what is no time.
 */
export function instantOf(value: unknown): string | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  const text = value.replace(" ", "T").replace(/(?<=[+-]\d\d:\d\d)Z$/, "");
  const hasZone = /(?:Z|[+-]\d\d:?\d\d)$/i.test(text);
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text);
  const ms = Date.parse(hasZone || isDay ? text : `${text}Z`);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

/** Sets an own member, whatever its name: `__proto__` does not reach the prototype. */
export function setMember(fields: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(fields, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

/** The last member's name or element's number in an RFC 6901 pointer. */
export function lastToken(pointer: string): string {
  return pointer
    .slice(pointer.lastIndexOf("/") + 1)
    .replaceAll("~1", "/")
    .replaceAll("~0", "~");
}
