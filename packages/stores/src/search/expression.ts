import { StoreError } from "../errors.ts";

/** A parsed search: engines compile this tree, and no text of a request ever reaches their own syntax. */
export type SearchExpression =
  | { readonly op: "and" | "or"; readonly parts: readonly SearchExpression[] }
  | { readonly op: "not"; readonly keep: SearchExpression; readonly drop: SearchExpression }
  | SearchTerm;

/** A word, a phrase, a beginning, or a word that may differ. */
export type SearchTerm =
  | { readonly op: "term" | "prefix" | "phrase"; readonly text: string; readonly field?: string }
  | {
      readonly op: "fuzzy";
      readonly text: string;
      readonly distance: 1 | 2;
      readonly field?: string;
    };

/** Similar words one fuzzy word stands for at most: the nearest, then in order of code points. */
export const FUZZY_WORDS_MAX = 50;
/** Letters of a fuzzy word at most: longer ones have too many neighbours, and nobody types them with one wrong. */
export const FUZZY_LENGTH_MAX = 64;
// FTS5's parser gives up near 100 nested brackets, of which a level makes three; OpenSearch near 30 levels.
const DEPTH_MAX = 24;

/** Refuses an expression that is nested beyond what engines bear. @throws StoreError `refused`. */
export function checkDepth(depth: number): void {
  if (depth > DEPTH_MAX)
    throw new StoreError("refused", `a search nests at most ${DEPTH_MAX} levels`);
}

/** Terms of an expression: those a hit is wanted to have, or the unwanted ones as well. */
export function termsOf(
  expression: SearchExpression,
  which: "wanted" | "all",
  depth = 0,
): readonly SearchTerm[] {
  checkDepth(depth);
  switch (expression.op) {
    case "and":
    case "or":
      return expression.parts.flatMap((part) => termsOf(part, which, depth + 1));
    case "not": {
      const kept = termsOf(expression.keep, which, depth + 1);
      return which === "wanted" ? kept : [...kept, ...termsOf(expression.drop, which, depth + 1)];
    }
    default:
      return [expression];
  }
}
