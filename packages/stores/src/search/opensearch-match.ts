import { StoreError } from "../errors.ts";
import {
  checkDepth,
  FUZZY_LENGTH_MAX,
  FUZZY_WORDS_MAX,
  type SearchExpression,
  type SearchTerm,
} from "./expression.ts";
import type { SearchMapping } from "./content.ts";
import { FOLDED_ANALYZER } from "./opensearch-index.ts";
import { wordsIn } from "./opensearch-words.ts";
import type { FoldWord } from "./opensearch-words.ts";

/** A query in the server's own JSON; only values in it come from outside, never names. */
export type OpensearchQuery = Readonly<Record<string, unknown>>;

export interface MatchContext {
  readonly mapping: SearchMapping;
  readonly fold: FoldWord;
}

/** Meets every row, with a score of 0: rows alone have a size. */
const EVERY_ROW: OpensearchQuery = { bool: { filter: [{ exists: { field: "b" } }] } };
const NOTHING: OpensearchQuery = { match_none: {} };

// Words that a phrase with an open end stands for, at most: each is looked up in the index.
const PHRASE_PREFIX_WORDS_MAX = 1_000;

/** Compiles an expression; words without a letter or digit are left out, alone they meet nothing. */
export function compileMatch(expression: SearchExpression, context: MatchContext): OpensearchQuery {
  return compile(expression, context, 0) ?? NOTHING;
}

/** A text's words, folded as in the index. */
export function foldedWords(text: string, fold: FoldWord): readonly string[] {
  return wordsIn(text).map((word) => fold(word.text));
}

function compile(
  expression: SearchExpression,
  context: MatchContext,
  depth: number,
): OpensearchQuery | undefined {
  checkDepth(depth);
  switch (expression.op) {
    case "and":
    case "or": {
      if (expression.op === "and" && expression.parts.length === 0) return EVERY_ROW;
      const parts = expression.parts.map((part) => compile(part, context, depth + 1));
      const known = parts.filter((part) => part !== undefined);
      return known.length === 0 ? undefined : joined(expression.op, known);
    }
    case "not": {
      const keep = compile(expression.keep, context, depth + 1);
      const drop = compile(expression.drop, context, depth + 1);
      if (drop === undefined) return keep;
      return { bool: { must: [keep ?? EVERY_ROW], must_not: [drop] } };
    }
    default:
      return compileTerm(expression, context);
  }
}

function joined(op: "and" | "or", parts: readonly OpensearchQuery[]): OpensearchQuery {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  return op === "and"
    ? { bool: { must: parts } }
    : { bool: { should: parts, minimum_should_match: 1 } };
}

function compileTerm(term: SearchTerm, context: MatchContext): OpensearchQuery | undefined {
  const positions = positionsOf(term.field, context.mapping);
  const words = foldedWords(term.text, context.fold);
  if (words.length === 0) return undefined;
  if (term.op === "fuzzy") {
    const similar = words.map((word) =>
      anywhere(positions, context.mapping, fuzzyWord(word, term.distance)),
    );
    return joined("and", similar);
  }
  return anywhere(positions, context.mapping, wordQuery(term.op, words));
}

function positionsOf(field: string | undefined, { fieldNames }: SearchMapping): readonly number[] {
  if (field === undefined) return fieldNames.map((_, position) => position);
  const position = fieldNames.indexOf(field);
  if (position >= 0) return [position];
  throw new StoreError("refused", `the search has no field ${JSON.stringify(field)}`);
}

/** What is asked of a field, with its weight. */
type FieldQuery = (field: string, boost: number) => OpensearchQuery;

function anywhere(
  positions: readonly number[],
  { weights }: SearchMapping,
  ask: FieldQuery,
): OpensearchQuery {
  return joined(
    "or",
    positions.map((position) => ask(`t${position}`, weights[position] ?? 1)),
  );
}

function fuzzyWord(word: string, distance: number): FieldQuery {
  if (Array.from(word).length > FUZZY_LENGTH_MAX) {
    throw new StoreError("limit", `a fuzzy word has at most ${FUZZY_LENGTH_MAX} letters`);
  }
  const rules = { fuzziness: distance, transpositions: false, max_expansions: FUZZY_WORDS_MAX };
  return (field, boost) => ({ fuzzy: { [field]: { value: word, boost, ...rules } } });
}

function wordQuery(op: "term" | "phrase" | "prefix", words: readonly string[]): FieldQuery {
  const [value = ""] = words;
  if (words.length === 1) {
    const kind = op === "prefix" ? "prefix" : "term";
    return (field, boost) => ({ [kind]: { [field]: { value, boost } } });
  }
  const phrase = { query: words.join(" "), analyzer: FOLDED_ANALYZER };
  return op === "prefix"
    ? (field, boost) => ({
        match_phrase_prefix: {
          [field]: { ...phrase, boost, max_expansions: PHRASE_PREFIX_WORDS_MAX },
        },
      })
    : (field, boost) => ({ match_phrase: { [field]: { ...phrase, boost } } });
}
