/** The bytes that the grammar of JSON (RFC 8259 §2) gives a meaning. */
export const BYTE = {
  tab: 0x09,
  newline: 0x0a,
  carriageReturn: 0x0d,
  space: 0x20,
  quote: 0x22,
  comma: 0x2c,
  colon: 0x3a,
  openArray: 0x5b,
  backslash: 0x5c,
  closeArray: 0x5d,
  letterU: 0x75,
  openObject: 0x7b,
  closeObject: 0x7d,
} as const;

/** Set in the braces and clear in the brackets: with it, one comparison finds both. */
export const BRACE_BIT = 0x20;

const DELIMITERS: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  ' \t\n\r,:[]{}"'.includes(String.fromCharCode(byte)) ? 1 : 0,
);

/** Whether a byte ends a number or word. */
export function isDelimiter(byte: number): boolean {
  return DELIMITERS[byte] === 1;
}

/** Whether a byte may come after a backslash, `u` apart. */
export function isSimpleEscape(byte: number): boolean {
  return '"\\/bfnrt'.includes(String.fromCharCode(byte));
}

/** Whether a byte is a hexadecimal digit. */
export function isHexDigit(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x46) ||
    (byte >= 0x61 && byte <= 0x66)
  );
}

/** White space, numbers and the three words aside, everything is one byte of {@link BYTE}. */
export const SCALAR: RegExp = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
