import { CoreError } from "../../errors.ts";

/** Bytes of salt in a line: 128 bits, so that a leaf hash tells nothing about a guessable record. */
export const LINE_SALT_BYTES = 16;

/** The longest line in bytes, so that one record cannot exhaust a reader's memory. */
export const LINE_BYTES_MAX: number = 16 * 1024 * 1024;

/** What a line is made of; a deletion has no `data`. */
export interface LineParts {
  readonly id: string;
  /** 16 random bytes. */
  readonly salt: Uint8Array;
  /** When the record was observed, epoch milliseconds; left out or NaN where it has no such time. */
  readonly observedAt?: number;
  /** Where in its source the record stood: `line 12`, or an RFC 6901 pointer. */
  readonly place?: string;
  /** The data subject's pseudonym, where the record has sealed fields. */
  readonly subject?: string;
  /** The sealed personal fields, base64url. */
  readonly sealed?: string;
  /** The fields as JSON text of one object; it is stored as it stands and must hold no line feed. */
  readonly data?: string | Uint8Array;
}

/** A line taken apart. */
export interface DecodedLine extends LineParts {
  /** A view into the line. */
  readonly data?: Uint8Array;
}

const BASE64URL = /^[A-Za-z0-9_-]*$/;
const INSTANT = /^[+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** The exact UTF-8 bytes of a line; see `docs/reference/journal-format.md`. */
export function encodeLine(parts: LineParts): Uint8Array {
  const { data } = parts;
  const head = lineHead(parts);
  if (data === undefined) return Buffer.from(`${head}}`);
  if (typeof data === "string") return Buffer.from(`${head},"data":${data}}`);
  return Buffer.concat([Buffer.from(`${head},"data":`), data, CLOSING]);
}

/** The text of a line before its `data`, without the closing brace. */
export function lineHead(parts: Omit<LineParts, "data">): string {
  const { id, salt, observedAt, place, subject, sealed } = parts;
  if (salt.byteLength !== LINE_SALT_BYTES)
    throw new CoreError(
      "usage",
      `a line's salt has ${LINE_SALT_BYTES} bytes, not ${salt.byteLength}`,
    );
  const saltText = Buffer.from(salt.buffer, salt.byteOffset, LINE_SALT_BYTES).toString("base64url");
  let text = `{"id":${JSON.stringify(id)},"salt":"${saltText}"`;
  if (observedAt !== undefined && !Number.isNaN(observedAt))
    text += `,"at":"${new Date(observedAt).toISOString()}"`;
  if (place !== undefined) text += `,"place":${JSON.stringify(place)}`;
  if (subject !== undefined) text += `,"subject":${JSON.stringify(subject)}`;
  if (sealed !== undefined) text += `,"sealed":"${checkSealed(sealed)}"`;
  return text;
}

function checkSealed(sealed: string): string {
  if (!BASE64URL.test(sealed)) throw new CoreError("usage", "sealed fields are not base64url");
  return sealed;
}

/**
 * Takes a line apart, checking the order and the form of its members; the fields' JSON is not parsed.
 *
 * @throws CoreError `damaged` when the bytes are not a line.
 */
export function decodeLine(line: Uint8Array): DecodedLine {
  const cursor = new LineCursor(line);
  const id = cursor.jsonString(ID);
  const saltText = cursor.plainString(SALT);
  const salt = Buffer.from(saltText ?? "", "base64url");
  if (
    id === undefined ||
    saltText?.length !== SALT_LENGTH ||
    salt.toString("base64url") !== saltText
  )
    throw notALine("it does not begin with an id and a salt");
  const at = cursor.plainString(AT);
  const place = cursor.jsonString(PLACE);
  const subject = cursor.jsonString(SUBJECT);
  const sealed = cursor.plainString(SEALED);
  const data = cursor.data();
  return {
    id,
    salt,
    ...(at === undefined ? {} : { observedAt: parseInstant(at) }),
    ...(place === undefined ? {} : { place }),
    ...(subject === undefined ? {} : { subject }),
    ...(sealed === undefined ? {} : { sealed: checkStored(sealed) }),
    ...(data === undefined ? {} : { data }),
  };
}

/**
 * The fields' JSON text within a line, as a view; `undefined` for a deletion.
 *
 * Nothing is parsed or copied: `data` is the last member, so its text runs from where the known
 * members end to the byte before the closing brace.
 *
 * @throws CoreError `damaged` when the bytes are not a line.
 */
export function dataSlice(line: Uint8Array): Uint8Array | undefined {
  const cursor = new LineCursor(line);
  cursor.skip(ID);
  cursor.skip(SALT);
  cursor.skip(AT);
  cursor.skip(PLACE);
  cursor.skip(SUBJECT);
  cursor.skip(SEALED);
  return cursor.data();
}

const ID = Buffer.from(`{"id":"`);
const SALT = Buffer.from(`,"salt":"`);
const AT = Buffer.from(`,"at":"`);
const PLACE = Buffer.from(`,"place":"`);
const SUBJECT = Buffer.from(`,"subject":"`);
const SEALED = Buffer.from(`,"sealed":"`);
const DATA = Buffer.from(`,"data":{`);
const CLOSING = Buffer.from("}");
const SALT_LENGTH = 22;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE = 0x7d;

class LineCursor {
  readonly #line: Buffer;
  #at = 0;

  constructor(line: Uint8Array) {
    this.#line = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  }

  /** Moves past a member whose name and opening quote are `opening`; false when it is another. */
  skip(opening: Uint8Array): boolean {
    if (!this.#begins(opening)) return false;
    this.#at = this.#stringEnd(this.#at + opening.byteLength) + 1;
    return true;
  }

  /** The text of a member that never has escapes. */
  plainString(opening: Uint8Array): string | undefined {
    const start = this.#at + opening.byteLength;
    return this.skip(opening) ? this.#line.toString("latin1", start, this.#at - 1) : undefined;
  }

  jsonString(opening: Uint8Array): string | undefined {
    const start = this.#at + opening.byteLength - 1;
    if (!this.skip(opening)) return undefined;
    return parseString(this.#line.toString("utf8", start, this.#at));
  }

  data(): Buffer | undefined {
    const line = this.#line;
    const last = line.byteLength - 1;
    if (this.#at === 0 || line[last] !== BRACE) throw notALine("it is not one JSON object");
    if (this.#at === last) return undefined;
    const start = this.#at + DATA.byteLength - 1;
    if (!this.#begins(DATA) || last - start < 2 || line[last - 1] !== BRACE)
      throw notALine(`byte ${this.#at} begins no known member`);
    return line.subarray(start, last);
  }

  #begins(opening: Uint8Array): boolean {
    const line = this.#line;
    for (let index = 0; index < opening.byteLength; index += 1)
      if (line[this.#at + index] !== opening[index]) return false;
    return true;
  }

  #stringEnd(from: number): number {
    let end = this.#line.indexOf(QUOTE, from);
    while (end > 0 && this.#isEscaped(end, from)) end = this.#line.indexOf(QUOTE, end + 1);
    if (end < 0) throw notALine(`the text at byte ${from} has no end`);
    return end;
  }

  #isEscaped(quote: number, from: number): boolean {
    let backslashes = 0;
    for (let at = quote - 1; at >= from && this.#line[at] === BACKSLASH; at -= 1) backslashes += 1;
    return backslashes % 2 === 1;
  }
}

function parseString(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch (cause) {
    throw notALine("a member is not JSON text", cause);
  }
}

function parseInstant(text: string): number {
  const ms = INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw notALine("its time is not an instant");
  return ms;
}

function checkStored(sealed: string): string {
  if (!BASE64URL.test(sealed)) throw notALine("its sealed fields are not base64url");
  return sealed;
}

function notALine(reason: string, cause?: unknown): CoreError {
  return new CoreError("damaged", `not a line of a journal: ${reason}`, { cause });
}
