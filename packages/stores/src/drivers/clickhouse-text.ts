/** Quotes a name: a database, a table, a column. */
export function quoteClickhouseName(name: string): string {
  return `\`${escapeText(name).replaceAll("`", "\\`")}\``;
}

/** Writes a text as a literal, whatever it holds. */
export function textLiteral(value: string): string {
  return `'${escapeText(value).replaceAll("'", "\\'")}'`;
}

// Backslashes escape, and a NUL would end the statement (clickhouse.com/docs/sql-reference/syntax#string).
function escapeText(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\0", "\\0");
}

/** Writes a whole number of 64 bits as a literal of that type. */
export function wholeLiteral(value: number | bigint): string {
  return `toInt64('${value}')`;
}

const BITS = new DataView(new ArrayBuffer(8));

/** Writes a double as a literal, bit by bit: a decimal text may be read as its neighbour. */
export function doubleLiteral(value: number): string {
  BITS.setFloat64(0, value);
  return `reinterpretAsFloat64(toUInt64('${BITS.getBigUint64(0)}'))`;
}
