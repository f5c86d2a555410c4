/** Seeded random numbers for made-up evidence: the same seed gives the same numbers everywhere. */
export interface RandomSource {
  /** A whole number from 0 to 2^32 - 1. */
  word(): number;
  /** A number from 0 up to 1. */
  uniform(): number;
  /** A whole number from 0 up to `end`. */
  below(end: number): number;
  pick<Value>(list: readonly Value[]): Value;
  /** Lower-case hex digits, at most 16. */
  hex(digits: number): string;
  /** Normally distributed around 0 with deviation 1 (Box-Muller). */
  normal(): number;
}

const WORDS = 2 ** 32;

/** Makes a source from a seed: the generator sfc32 (pracrand.sourceforge.net), 128 bits of state. */
export function randomSource(seed: number): RandomSource {
  const state = Int32Array.of(0x9e3779b9, 0x243f6a88, 0xb7e15162, seed);
  const word = (): number => {
    const [a = 0, b = 0, c = 0, counter = 0] = state;
    const made = (a + b + counter) | 0;
    state[0] = b ^ (b >>> 9);
    state[1] = (c + (c << 3)) | 0;
    state[2] = (((c << 21) | (c >>> 11)) + made) | 0;
    state[3] = (counter + 1) | 0;
    return made >>> 0;
  };
  // The first words of similar seeds are alike.
  for (let skipped = 0; skipped < 16; skipped += 1) word();
  const uniform = (): number => word() / WORDS;
  const below = (end: number): number => Math.floor(uniform() * end);
  const digits = (): string => word().toString(16).padStart(8, "0");
  return {
    word,
    uniform,
    below,
    pick: (list) => {
      const picked = list[below(list.length)];
      if (picked === undefined) throw new RangeError("an empty list has nothing to pick");
      return picked;
    },
    hex: (count) => `${digits()}${digits()}`.slice(0, count),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  };
}
