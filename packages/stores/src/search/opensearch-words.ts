import { memberOf } from "../drivers/opensearch-errors.ts";
import type { OpensearchCluster } from "../drivers/opensearch.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { WORDS_ANALYZER, WORD_LENGTH_MAX, WORD_PATTERN } from "./opensearch-index.ts";

/** A word of a text: where it stands, and as the index has it. */
export interface FoundWord {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Folds words as the index does; those it was made for are known without asking the server. */
export type FoldWord = (word: string) => string;

// A call is answered with at most 10,000 tokens (index.analyze.max_token_count).
const FOLD_WORDS_MAX = 5_000;
// 10,000 words of 20 letters with their folded forms are about 2 MB.
const KNOWN_WORDS_MAX = 10_000;
const KNOWN_LENGTH_MAX = 100;

/** A text's words, where they stand. */
export function wordsIn(text: string): readonly FoundWord[] {
  return Array.from(text.matchAll(WORD_PATTERN), ({ 0: word, index }) => ({
    start: index,
    end: index + word.length,
    text: word,
  }));
}

/**
 * Folds words with the engine's own analyzer.
 *
 * Words are cut out here, by the same pattern; ASCII words are folded here too, as that is only their
 * case; the server is asked about the others once.
 */
export class OpensearchWords {
  readonly #cluster: OpensearchCluster;
  readonly #known = new Map<string, string>();

  constructor(cluster: OpensearchCluster) {
    this.#cluster = cluster;
  }

  /** Learns how the words of texts are folded. */
  async learn(scope: Scope, alias: string, texts: readonly string[]): Promise<FoldWord> {
    const found = new Map<string, string>();
    const asked = new Set<string>();
    for (const text of texts) {
      if (isAscii(text)) continue;
      for (const { text: word } of wordsIn(text)) {
        const known = this.#known.get(word);
        if (known !== undefined) found.set(word, known);
        else if (!isAscii(word)) asked.add(word);
      }
    }
    const words = [...asked];
    for (let at = 0; at < words.length; at += FOLD_WORDS_MAX) {
      const some = words.slice(at, at + FOLD_WORDS_MAX);
      const folded = await this.#ask(scope, alias, some);
      for (const [index, word] of some.entries()) found.set(word, folded[index] ?? word);
    }
    this.#keep(words, found);
    return (word) => found.get(word) ?? word.toLowerCase().slice(0, WORD_LENGTH_MAX);
  }

  async #ask(scope: Scope, alias: string, words: readonly string[]): Promise<readonly string[]> {
    const { body } = await this.#cluster.send(scope, {
      doing: "fold words",
      method: "POST",
      path: [alias, "_analyze"],
      body: { analyzer: WORDS_ANALYZER, text: words },
    });
    const tokens = memberOf(body, "tokens");
    const folded = Array.isArray(tokens) ? tokens.map((one) => memberOf(one, "token")) : [];
    const texts = folded.filter((one) => typeof one === "string");
    if (texts.length === words.length) return texts;
    throw new StoreError("corrupt", "the index does not cut words as it was made to");
  }

  #keep(words: readonly string[], found: ReadonlyMap<string, string>): void {
    for (const word of words) {
      if (this.#known.size >= KNOWN_WORDS_MAX) this.#known.clear();
      const folded = found.get(word);
      if (word.length <= KNOWN_LENGTH_MAX && folded !== undefined) this.#known.set(word, folded);
    }
  }
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}
