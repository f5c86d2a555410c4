import { StoreError } from "../errors.ts";

/** A piece of a statement: comments and white space stand between tokens, never in them. */
export interface CypherToken {
  /** `quoted` is a text in quotes, or a name in backticks. */
  readonly kind: "word" | "number" | "sign" | "quoted";
  readonly text: string;
  /** Where it begins in the statement. */
  readonly start: number;
}

// In the order in which they are tried. A backslash escapes inside quotes; a doubled backtick inside
// backticks. What begins like a comment or a quotation and does not end is `open`.
const TOKEN =
  /(?<space>[\s\uFEFF]+|\/\/[^\n\r]*|\/\*[^]*?\*\/)|(?<quoted>"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|`(?:[^`]|``)*`)|(?<open>["'`]|\/\*)|(?<number>\d+)|(?<word>[\p{L}_][\p{L}\p{N}_]*)|(?<sign>\.\.|[^])/guy;

/**
 * Takes a statement apart.
 *
 * @throws StoreError `refused` when a quotation or a comment does not end.
 */
export function* cypherTokens(statement: string): Generator<CypherToken> {
  for (const { groups, index } of statement.matchAll(TOKEN)) {
    if (groups === undefined || groups["space"] !== undefined) continue;
    if (groups["open"] !== undefined) {
      throw new StoreError("refused", "a quotation or comment is not closed");
    }
    for (const kind of ["quoted", "number", "word", "sign"] as const) {
      const text = groups[kind];
      if (text !== undefined) yield { kind, text, start: index };
    }
  }
}

/** Whether a token is this sign. */
export function isSign(token: CypherToken | undefined, text: string): boolean {
  return token?.kind === "sign" && token.text === text;
}

/** The word in lower case, as keywords are compared; `undefined` for what is no word. */
export function wordOf(token: CypherToken | undefined): string | undefined {
  return token?.kind === "word" ? token.text.toLowerCase() : undefined;
}

/** A set of words written in one text. */
export function wordSet(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}
