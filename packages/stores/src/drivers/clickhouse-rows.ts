const PART_BYTES = 256 * 1024;

/**
 * Writes rows in ClickHouse's RowBinary format (clickhouse.com/docs/interfaces/formats/RowBinary): values
 * one after another, without names, so that nothing is parsed on the other side.
 */
export class RowBinaryWriter {
  readonly #parts: Uint8Array[] = [];
  #buffer = Buffer.allocUnsafe(PART_BYTES);
  #at = 0;
  #bytes = 0;

  /** Bytes written so far. */
  get bytes(): number {
    return this.#bytes + this.#at;
  }

  /** What was written; the writer begins anew. */
  take(): readonly Uint8Array[] {
    this.#flush(PART_BYTES);
    const parts = this.#parts.splice(0);
    this.#bytes = 0;
    return parts;
  }

  /** The byte before a nullable value. */
  absent(isAbsent: boolean): void {
    this.byte(isAbsent ? 1 : 0);
  }

  byte(value: number): void {
    this.#need(1);
    this.#buffer[this.#at] = value;
    this.#at += 1;
  }

  /** A length, as LEB128. */
  length(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  text(value: string): void {
    // UTF-8 takes at most three bytes for each UTF-16 unit.
    this.#need(value.length * 3 + 10);
    if (value.length < 42) {
      const start = this.#at + 1;
      const bytes = this.#buffer.write(value, start, "utf8");
      this.#buffer[this.#at] = bytes;
      this.#at = start + bytes;
      return;
    }
    const bytes = Buffer.byteLength(value, "utf8");
    this.length(bytes);
    this.#at += this.#buffer.write(value, this.#at, "utf8");
  }

  int64(value: number | bigint): void {
    this.#need(8);
    if (typeof value === "number" && value >= 0) {
      this.#buffer.writeUInt32LE(value % 0x1_0000_0000, this.#at);
      this.#buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), this.#at + 4);
    } else {
      this.#buffer.writeBigInt64LE(BigInt(value), this.#at);
    }
    this.#at += 8;
  }

  double(value: number): void {
    this.#need(8);
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
  }

  float(value: number): void {
    this.#need(4);
    this.#at = this.#buffer.writeFloatLE(value, this.#at);
  }

  uint16(value: number): void {
    this.#need(2);
    this.#at = this.#buffer.writeUInt16LE(value, this.#at);
  }

  #need(bytes: number): void {
    if (this.#at + bytes > this.#buffer.length) this.#flush(Math.max(PART_BYTES, bytes));
  }

  #flush(next: number): void {
    if (this.#at > 0) this.#parts.push(this.#buffer.subarray(0, this.#at));
    this.#bytes += this.#at;
    this.#buffer = Buffer.allocUnsafe(next);
    this.#at = 0;
  }
}
