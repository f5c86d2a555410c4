/**
 * A sum of numbers without rounding: the same whatever the order, and numbers can be taken back.
 *
 * Every double is a whole number times a power of two, so a `bigint` and an exponent hold any sum.
 */
export class ExactSum {
  /** Whole numbers not yet carried to the mantissa; itself always a safe integer. */
  #whole = 0;
  #mantissa = 0n;
  #exponent = 0;

  add(value: number | bigint, sign: 1 | -1 = 1): void {
    if (typeof value === "bigint") this.#addScaled(sign === 1 ? value : -value, 0);
    else if (Number.isSafeInteger(value)) this.#addWhole(sign * value);
    else if (Number.isFinite(value)) this.#addDouble(sign * value);
  }

  addSum(other: ExactSum): void {
    this.#addWhole(other.#whole);
    if (other.#mantissa !== 0n) this.#addScaled(other.#mantissa, other.#exponent);
  }

  /** Canonical text: the digits of a whole number, or an odd number, `p` and the power of two. */
  toText(): string {
    this.#carry();
    let mantissa = this.#mantissa;
    let exponent = this.#exponent;
    while (exponent < 0 && (mantissa & 1n) === 0n && mantissa !== 0n) {
      mantissa >>= 1n;
      exponent += 1;
    }
    if (mantissa === 0n) return "0";
    return exponent < 0 ? `${mantissa}p${exponent}` : (mantissa << BigInt(exponent)).toString();
  }

  /** The nearest double. */
  toNumber(): number {
    if (this.#mantissa === 0n) return this.#whole + 0;
    const [digits = "0", power = "0"] = this.toText().split("p");
    const exponent = Number(power);
    const mantissa = BigInt(digits);
    // A double holds no more than 1,023 bits; what lies 900 bits below the first changes nothing.
    const excess = Math.max(0, mantissa.toString(16).length * 4 - 1_000);
    return Number(mantissa >> BigInt(excess)) * 2 ** (exponent + excess);
  }

  /** Reads what {@link toText} wrote. */
  static parse(text: string): ExactSum {
    const [digits = "0", power = "0"] = text.split("p");
    const sum = new ExactSum();
    sum.#addScaled(BigInt(digits), Number(power));
    return sum;
  }

  #addWhole(value: number): void {
    const sum = this.#whole + value;
    if (Number.isSafeInteger(sum)) this.#whole = sum;
    else this.#addScaled(BigInt(value), 0);
  }

  #addDouble(value: number): void {
    DOUBLE[0] = Math.abs(value);
    const bits = BITS[0] ?? 0n;
    const biased = Number(bits >> 52n);
    const fraction = bits & 0xf_ffff_ffff_ffffn;
    // IEEE 754: numbers without the leading bit have the exponent of the smallest that has it.
    const mantissa = biased === 0 ? fraction : fraction | 0x10_0000_0000_0000n;
    this.#addScaled(value < 0 ? -mantissa : mantissa, Math.max(biased, 1) - 1_075);
  }

  #addScaled(mantissa: bigint, exponent: number): void {
    if (exponent >= this.#exponent) {
      this.#mantissa += mantissa << BigInt(exponent - this.#exponent);
    } else {
      this.#mantissa = (this.#mantissa << BigInt(this.#exponent - exponent)) + mantissa;
      this.#exponent = exponent;
    }
  }

  #carry(): void {
    if (this.#whole !== 0) this.#addScaled(BigInt(this.#whole), 0);
    this.#whole = 0;
  }
}

const DOUBLE = new Float64Array(1);
const BITS = new BigUint64Array(DOUBLE.buffer);
