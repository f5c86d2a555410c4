import type { RandomSource } from "./random-source.ts";

/** Words that sentences of made-up evidence are drawn from, frequent ones first. */
export interface Vocabulary {
  readonly words: readonly string[];
  /** Sentences of about so many characters, 7 to 22 words each. */
  text(characters: number): string;
}

// Real transcripts use far more words than a list of common ones; 20,000 with a heavy tail give the
// search index a dictionary of realistic size.
const WORD_COUNT = 20_000;
// Zipf-Mandelbrot offset that fits English prose.
const RANK_OFFSET = 2.7;
const SLICE_BITS = 20;

const FREQUENT =
  `the of and to a in is it you that he was for on are with as his they be at one have this from or had by hot but
  some what there we can out other were all your when up use word how said an each she which do their time if will way
  about many then them would write like so these her long make thing see him two has look more day could go come did my
  sound no most number who over know water than call first people may down side been now find model prompt answer system
  user safe please explain refuse policy instruction`.split(/\s+/);
const BEGINNINGS =
  "b br c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh sl sp st t th tr v w z".split(" ");
const MIDDLES = "a e i o u ai ea ee ia io oa oo ou".split(" ");
const ENDINGS = [
  "",
  "",
  "",
  "b",
  "ck",
  "d",
  "g",
  "l",
  "m",
  "n",
  "nd",
  "ng",
  "p",
  "r",
  "s",
  "st",
  "t",
  "x",
];
const SUFFIXES = ["s", "ed", "er", "ing", "ion", "ity", "ly", "ness"];

/** Makes a vocabulary; words are invented with the source's numbers. */
export function makeVocabulary(random: RandomSource): Vocabulary {
  const words = inventWords(random);
  const capitals = words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`);
  const ranks = rankSlices(words.length);
  const shift = 32 - SLICE_BITS;
  const rank = (): number => ranks[random.word() >>> shift] ?? 0;
  return {
    words,
    text(characters) {
      const parts: string[] = [];
      let length = 0;
      while (length < characters) {
        const count = 7 + random.below(16);
        for (let index = 0; index < count && length < characters; index += 1) {
          const word = (index === 0 ? capitals : words)[rank()] ?? "";
          parts.push(index === 0 && parts.length > 0 ? `. ${word}` : word);
          length += word.length + 1;
        }
      }
      return `${parts.join(" ").replaceAll(" . ", ". ")}.`;
    },
  };
}

function inventWords(random: RandomSource): readonly string[] {
  const words = new Set(FREQUENT);
  while (words.size < WORD_COUNT) {
    let syllables = 3;
    if (words.size < 6_000) syllables = words.size < 600 ? 1 : 2;
    let word = "";
    for (let index = 0; index < syllables; index += 1) {
      word += random.pick(BEGINNINGS) + random.pick(MIDDLES);
    }
    word += random.pick(ENDINGS);
    words.add(words.has(word) ? word + random.pick(SUFFIXES) : word);
  }
  return [...words];
}

/** Cuts probability into equal slices, each naming one rank: drawing a word is then one look-up. */
function rankSlices(count: number): Uint16Array {
  const slices = new Uint16Array(2 ** SLICE_BITS);
  const weights = Array.from({ length: count }, (_, rank) => 1 / (rank + RANK_OFFSET));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let at = 0;
  let reached = 0;
  for (const [rank, weight] of weights.entries()) {
    reached += (weight / total) * slices.length;
    while (at < reached && at < slices.length) slices[at++] = rank;
  }
  return slices;
}
