/** A parsed search: engines compile this tree, and no text of a request ever reaches their own syntax. */
export type SearchExpression =
  | { readonly op: "and" | "or"; readonly parts: readonly SearchExpression[] }
  | { readonly op: "not"; readonly keep: SearchExpression; readonly drop: SearchExpression }
  | { readonly op: "term" | "prefix" | "phrase"; readonly text: string; readonly field?: string }
  | {
      readonly op: "fuzzy";
      readonly text: string;
      readonly distance: 1 | 2;
      readonly field?: string;
    };
