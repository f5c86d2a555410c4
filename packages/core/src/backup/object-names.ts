// Twelve of the 64 hex digits: 48 bits fit a number, which takes a tenth of a text's room. That two of a
// million objects share them has a chance of 1 in 500.
const DIGITS = 12;

/** Names of objects in little room, each with a number. */
export class ObjectNames {
  readonly #numbers = new Map<number, number>();

  add(name: string, value: number = 0): void {
    this.#numbers.set(shortOf(name), value);
  }

  /** The number given with the name, or with one that is very unlikely to look the same. */
  get(name: string): number | undefined {
    return this.#numbers.get(shortOf(name));
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  get size(): number {
    return this.#numbers.size;
  }
}

function shortOf(name: string): number {
  return Number.parseInt(name.slice(0, DIGITS), 16);
}
