import { hash } from "node:crypto";

import { StoreError } from "../errors.ts";

/** How a tag says that the record has no such value; no encoded text is the same. */
export const ABSENT = "%-";

/** The field of every point that says whose it is. */
export const MARK = "custody";

/** The measurement of points whose instant the server's clock does not reach. */
export const FAR = "custody_far";

/** The measurement of texts that are too long to be a tag. */
export const TEXTS = "custody_texts";

// A key of a series (measurement and tags) is at most 65,535 bytes (MaxKeyLength in the server's models).
const TAG_BYTES_MAX = 1_024;

// Nothing in it means anything in the line protocol's quoting, Flux, InfluxQL or CSV but `,`, `=` and blank,
// which the line protocol escapes. Version 2 refuses what is not printable.
const SPECIAL = /["'\\$%\ufffd]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]|[\u{10000}-\u{10ffff}]/gu;
const SIMPLE = /^[A-Za-z0-9 _.:/-]+$/;

/** Writes a text so that it survives every quoting; reversed by {@link plainText}. */
export function encodedText(text: string): string {
  if (SIMPLE.test(text)) return text;
  if (text === "") return "%";
  return text.replaceAll(SPECIAL, (mark) =>
    mark === "'" ? "%27" : mark === "$" ? "%24" : encodeURIComponent(mark),
  );
}

/** Reads what {@link encodedText} wrote. @throws StoreError `corrupt` for what it never writes. */
export function plainText(encoded: string): string {
  if (encoded === "%") return "";
  if (!encoded.includes("%")) return encoded;
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    throw new StoreError("corrupt", "InfluxDB holds a text that Custody did not write", { cause });
  }
}

/**
 * The name of a measurement, tag or field as the server knows it. Names that mean something to the
 * server, or to us, begin with an escape.
 */
export function encodedName(name: string): string {
  const encoded = encodedText(name);
  if (!/^(?:[_#]|(?:time|result|table)$|custody)/.test(encoded)) return encoded;
  return `%${encoded.charCodeAt(0).toString(16)}${encoded.slice(1)}`;
}

/** A tag's value as the server knows it, and the text to keep beside it where it is too long. */
export function encodedTag(text: string | undefined): {
  readonly value: string;
  readonly longText?: string;
} {
  if (text === undefined) return { value: ABSENT };
  const value = encodedText(text);
  if (value.length <= TAG_BYTES_MAX / 3 || Buffer.byteLength(value) <= TAG_BYTES_MAX) {
    return { value };
  }
  return { value: longTag(text), longText: text };
}

/** How a text that is too long for a tag is named in it; no encoded text is the same. */
export function longTag(text: string): string {
  return `%#${hash("sha256", text, "hex")}`;
}

/** Whether a stored tag names a text that is kept elsewhere. */
export function isLongTag(value: string): boolean {
  return value.startsWith("%#");
}

/** A measurement in the line protocol, where `=` stands for itself. */
export function lineMeasurement(encoded: string): string {
  return /[ ,]/.test(encoded) ? encoded.replaceAll(/[ ,]/g, "\\$&") : encoded;
}

/** A tag's or field's name, or a tag's value, in the line protocol. */
export function lineText(encoded: string): string {
  return /[ ,=]/.test(encoded) ? encoded.replaceAll(/[ ,=]/g, "\\$&") : encoded;
}

/** A string in Flux: what was encoded holds nothing to escape. */
export function fluxText(encoded: string): string {
  if (/["\\$]/.test(encoded)) throw new StoreError("refused", "a text was not encoded for Flux");
  return `"${encoded}"`;
}
