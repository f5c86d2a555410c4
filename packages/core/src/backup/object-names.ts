// Half of the 64 hex digits, as 16 characters of one byte each: 128 bits, which no two of a repository's
// objects will ever share, in a quarter of the name's room. Were fewer kept, an object that is not there could
// be taken for one that is, and be missing from a backup.
const DIGITS = 32;

/** Names of objects in little room, each with a number. */
export class ObjectNames {
  readonly #numbers = new Map<string, number>();

  add(name: string, value: number = 0): void {
    this.#numbers.set(shortOf(name), value);
  }

  /** The number given with the name. */
  get(name: string): number | undefined {
    return this.#numbers.get(shortOf(name));
  }

  has(name: string): boolean {
    return this.#numbers.has(shortOf(name));
  }
}

function shortOf(name: string): string {
  return Buffer.from(name.slice(0, DIGITS), "hex").toString("latin1");
}
