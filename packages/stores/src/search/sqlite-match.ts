import { checkDepth, termsOf } from "./expression.ts";
import type { SearchExpression, SearchTerm } from "./expression.ts";
import { similarWords } from "./sqlite-fuzzy.ts";
import type { SeekWord } from "./sqlite-fuzzy.ts";

/**
 * Compiles search expressions to FTS5's MATCH syntax (sqlite.org/fts5.html#full_text_query_syntax).
 *
 * Only words as FTS5's own tokenizer gave them are written, each in quotes, so that nothing a person
 * typed is ever read as syntax.
 */

/** What meets an expression: the rows of `match`, or all but those; no `match` is the empty set. */
export interface MatchSet {
  readonly match: string | undefined;
  readonly isComplement: boolean;
}

export interface MatchContext {
  /** A text's words, folded as in the index. */
  readonly words: (text: string) => readonly string[];
  readonly seek: SeekWord;
  /** The column of a field. @throws StoreError `refused` for an unknown one. */
  readonly column: (field: string) => string;
}

const NOTHING: MatchSet = { match: undefined, isComplement: false };
const EVERYTHING: MatchSet = { match: undefined, isComplement: true };

/** Compiles an expression; words without a letter or digit are left out, alone they meet nothing. */
export function compileMatch(expression: SearchExpression, context: MatchContext): MatchSet {
  return compile(expression, context, 0) ?? NOTHING;
}

/** A MATCH for any wanted word or phrase of the expression, for marking; `undefined` when it has none. */
export function compileMarks(
  expression: SearchExpression,
  context: MatchContext,
): string | undefined {
  const matches = termsOf(expression, "wanted").flatMap((term) => compileTerm(term, context) ?? []);
  return matches.length === 0 ? undefined : matches.join(" OR ");
}

function compile(
  expression: SearchExpression,
  context: MatchContext,
  depth: number,
): MatchSet | undefined {
  checkDepth(depth);
  switch (expression.op) {
    case "and":
      return intersect(expression.parts, context, depth);
    case "or": {
      const parts = expression.parts.map((part) => compile(part, context, depth + 1));
      const known = parts.filter((part) => part !== undefined);
      return known.length === 0 ? undefined : complement(all(known.map(complement)));
    }
    case "not": {
      const keep = compile(expression.keep, context, depth + 1);
      const drop = compile(expression.drop, context, depth + 1);
      return drop === undefined ? keep : all([keep ?? EVERYTHING, complement(drop)]);
    }
    default: {
      const matches = compileTerm(expression, context);
      if (matches === undefined) return undefined;
      return matches.length === 0 ? NOTHING : { match: joined(matches, "OR"), isComplement: false };
    }
  }
}

function intersect(
  parts: readonly SearchExpression[],
  context: MatchContext,
  depth: number,
): MatchSet | undefined {
  if (parts.length === 0) return EVERYTHING;
  const compiled = parts.map((part) => compile(part, context, depth + 1));
  const known = compiled.filter((part) => part !== undefined);
  return known.length === 0 ? undefined : all(known);
}

/** Intersection: `a AND b NOT (c OR d)`, or the complement of a union when nothing is positive. */
function all(sets: readonly MatchSet[]): MatchSet {
  const kept = sets.filter(({ isComplement }) => !isComplement);
  const dropped = sets
    .filter(({ isComplement }) => isComplement)
    .flatMap(({ match }) => match ?? []);
  if (kept.some(({ match }) => match === undefined)) return NOTHING;
  const drop = dropped.length === 0 ? undefined : joined(dropped, "OR");
  if (kept.length === 0) return { match: drop, isComplement: true };
  const keep = joined(
    kept.flatMap(({ match }) => match ?? []),
    "AND",
  );
  return { match: drop === undefined ? keep : `(${keep} NOT ${drop})`, isComplement: false };
}

function complement({ match, isComplement }: MatchSet): MatchSet {
  return { match, isComplement: !isComplement };
}

function joined(matches: readonly string[], operator: "AND" | "OR"): string {
  return matches.length === 1 ? (matches[0] ?? "") : `(${matches.join(` ${operator} `)})`;
}

/** A term's alternatives; `undefined` when its text has no word at all. */
function compileTerm(
  term: SearchTerm,
  { words, seek, column }: MatchContext,
): string[] | undefined {
  const where = term.field === undefined ? "" : `{${quoted(column(term.field))}} : `;
  const list = words(term.text);
  if (list.length === 0) return undefined;
  if (term.op !== "fuzzy") {
    return [`${where}${quoted(list.join(" "))}${term.op === "prefix" ? " *" : ""}`];
  }
  const alternatives = list.map((word) => similarWords(word, term.distance, seek));
  if (alternatives.some((similar) => similar.length === 0)) return [];
  const unions = alternatives.map((similar) => joined(similar.map(quoted), "OR"));
  return [`${where}${joined(unions, "AND")}`];
}

/** An FTS5 string; its only special character is the quotation mark. */
function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
