import { StoreError } from "../errors.ts";
import type { SearchExpression } from "./expression.ts";

/** The longest search text, in UTF-16 units. */
const SEARCH_TEXT_MAX = 2_000;
/** The most words and phrases in a search; each costs an engine a look-up. */
const SEARCH_TERMS_MAX = 64;
/** The deepest brackets; engines parse what we compile, and FTS5 gives up near 100. */
const SEARCH_DEPTH_MAX = 16;

/** Meets every record. */
const EVERYTHING: SearchExpression = { op: "and", parts: [] };

/**
 * Parses what people type into a search box.
 *
 * Words must all occur; `OR` between two, `-` before one, `"a phrase"`, `begin*`, `fuzzy~` and
 * `fuzzy~2` (letters that may differ), `field:word` and brackets, also `field:(…)`. `AND` and `NOT`
 * may be written too. An empty text and `*` meet everything. Control characters count as spaces.
 *
 * @param fields the names that may stand before a colon; another name is a word like any other. When
 *   left out, any name of letters, digits and `_` is a field.
 * @throws StoreError `refused` with the place, counted from 1.
 */
export function parseSearch(text: string, fields?: readonly string[]): SearchExpression {
  if (text.length > SEARCH_TEXT_MAX) {
    throw new StoreError("refused", `a search has at most ${SEARCH_TEXT_MAX} characters`);
  }
  const tokens = tokenize(text, fields);
  const terms = tokens.filter(({ kind }) => kind === "word" || kind === "phrase");
  if (terms.length > SEARCH_TERMS_MAX) {
    throw new StoreError("refused", `a search has at most ${SEARCH_TERMS_MAX} words`);
  }
  const reader: Reader = { tokens, next: 0 };
  const expression = tokens.length === 0 ? EVERYTHING : parseOr(reader, { depth: 0 });
  const rest = peek(reader);
  if (rest !== undefined) refuse(rest.at, "this bracket closes nothing");
  return expression;
}

interface Token {
  readonly kind: "word" | "phrase" | "field" | "open" | "close" | "minus" | "or" | "and";
  readonly text: string;
  /** The first character's place, counted from 1. */
  readonly at: number;
  /** What follows a word or phrase: `*`, or `~` with a distance. */
  readonly suffix?: "*" | "~1" | "~2";
}

interface Reader {
  readonly tokens: readonly Token[];
  next: number;
}

interface Context {
  readonly depth: number;
  readonly field?: string;
}

// Sticky, tried in this order at each place that is no space. A word runs to a space, bracket or quote.
const FIELD = /([\p{L}_][\p{L}\p{N}_]*):(?=["(]|[^\s\p{Cc}):/-])/uy;
const PHRASE = /"([^"]*)"(\*|~\d*)?/uy;
const WORD = /[^\s\p{Cc}()"]+/uy;
const SPACE = /[\s\p{Cc}]+/uy;
const FUZZY = /^(.+)~([12]?)$/su;
const PREFIX = /^(.+?)\*+$/su;

function tokenize(text: string, fields: readonly string[] | undefined): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const space = match(SPACE, text, at);
    if (space !== undefined) {
      at += space[0].length;
      continue;
    }
    const [token, length] = readToken(text, at, fields);
    tokens.push(token);
    at += length;
  }
  return tokens;
}

function readToken(
  text: string,
  index: number,
  fields: readonly string[] | undefined,
): readonly [Token, number] {
  const at = index + 1;
  const first = text[index] ?? "";
  if (first === "(") return [{ kind: "open", text: first, at }, 1];
  if (first === ")") return [{ kind: "close", text: first, at }, 1];
  const isPrefixed = first === "-" && /^[^\s\p{Cc})-]/u.test(text.slice(index + 1, index + 3));
  if (isPrefixed) return [{ kind: "minus", text: first, at }, 1];
  const field = match(FIELD, text, index);
  if (field?.[1] !== undefined && (fields?.includes(field[1]) ?? true)) {
    return [{ kind: "field", text: field[1], at }, field[0].length];
  }
  if (first === '"') return readPhrase(text, index);
  const word = match(WORD, text, index)?.[0] ?? first;
  return [wordToken(word, at), word.length];
}

function readPhrase(text: string, index: number): readonly [Token, number] {
  const at = index + 1;
  const phrase = match(PHRASE, text, index);
  if (phrase === undefined) return refuse(at, "this quotation mark is not closed");
  if (phrase[2]?.startsWith("~") === true) refuse(at, "only single words can be fuzzy");
  const token: Token = { kind: "phrase", text: phrase[1] ?? "", at };
  return [phrase[2] === "*" ? { ...token, suffix: "*" } : token, phrase[0].length];
}

function wordToken(word: string, at: number): Token {
  if (word === "OR") return { kind: "or", text: word, at };
  if (word === "AND") return { kind: "and", text: word, at };
  if (word === "NOT") return { kind: "minus", text: word, at };
  const fuzzy = FUZZY.exec(word);
  if (fuzzy?.[1] !== undefined) {
    return { kind: "word", text: fuzzy[1], at, suffix: fuzzy[2] === "2" ? "~2" : "~1" };
  }
  if (/~\d+$/u.test(word)) refuse(at, "a fuzzy word may differ in 1 or 2 letters");
  const prefix = PREFIX.exec(word);
  if (prefix?.[1] !== undefined && prefix[1] !== "*") {
    return { kind: "word", text: prefix[1], at, suffix: "*" };
  }
  return { kind: "word", text: word, at };
}

function parseOr(reader: Reader, context: Context): SearchExpression {
  const parts = [parseAnd(reader, context)];
  for (let token = peek(reader); token?.kind === "or"; token = peek(reader)) {
    reader.next += 1;
    requireOperand(reader, token);
    parts.push(parseAnd(reader, context));
  }
  return joined("or", parts);
}

function parseAnd(reader: Reader, context: Context): SearchExpression {
  const wanted: SearchExpression[] = [];
  const unwanted: SearchExpression[] = [];
  let isFirst = true;
  for (;;) {
    const token = peek(reader);
    if (token?.kind === "and") {
      if (isFirst) refuse(token.at, "AND needs something before it");
      reader.next += 1;
      requireOperand(reader, token);
    } else if (token === undefined || token.kind === "or" || token.kind === "close") {
      if (isFirst) requireOperand(reader, token);
      break;
    }
    const isUnwanted = skipMinus(reader);
    (isUnwanted ? unwanted : wanted).push(parseOne(reader, context));
    isFirst = false;
  }
  const keep = joined("and", wanted);
  return unwanted.length === 0 ? keep : { op: "not", keep, drop: joined("or", unwanted) };
}

/** Skips `-` and `NOT`; two cancel each other. */
function skipMinus(reader: Reader): boolean {
  let isUnwanted = false;
  for (let token = peek(reader); token?.kind === "minus"; token = peek(reader)) {
    reader.next += 1;
    requireOperand(reader, token);
    isUnwanted = !isUnwanted;
  }
  return isUnwanted;
}

function parseOne(reader: Reader, context: Context): SearchExpression {
  const token = reader.tokens[reader.next];
  if (token === undefined) return EVERYTHING;
  reader.next += 1;
  if (token.kind === "field") {
    requireOperand(reader, token);
    return parseOne(reader, { ...context, field: token.text });
  }
  if (token.kind === "open") return parseBrackets(reader, context, token);
  return termOf(token, context.field);
}

function parseBrackets(reader: Reader, context: Context, open: Token): SearchExpression {
  if (context.depth >= SEARCH_DEPTH_MAX) {
    refuse(open.at, `brackets go at most ${SEARCH_DEPTH_MAX} deep`);
  }
  requireOperand(reader, open);
  const inner = parseOr(reader, { ...context, depth: context.depth + 1 });
  if (peek(reader)?.kind !== "close") refuse(open.at, "this bracket is not closed");
  reader.next += 1;
  return inner;
}

function termOf(token: Token, field: string | undefined): SearchExpression {
  const where = field === undefined ? {} : { field };
  const { text, suffix } = token;
  if (suffix === "*") return { op: "prefix", text, ...where };
  if (suffix !== undefined) {
    return { op: "fuzzy", text, distance: suffix === "~2" ? 2 : 1, ...where };
  }
  if (token.kind === "phrase") return { op: "phrase", text, ...where };
  return text === "*" ? EVERYTHING : { op: "term", text, ...where };
}

function joined(op: "and" | "or", parts: readonly SearchExpression[]): SearchExpression {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { op, parts };
}

/** Refuses what ends, closes or is an OR where a word, phrase or bracket has to come. */
function requireOperand(reader: Reader, before: Token | undefined): void {
  const token = peek(reader);
  const at = token?.at ?? before?.at ?? 1;
  if (token === undefined) refuse(at, `something has to follow ${before?.text ?? "here"}`);
  if (token.kind === "or") refuse(at, "OR needs something on both sides");
  if (token.kind === "close") refuse(at, "there is nothing before this bracket");
  if (token.kind === "and") refuse(at, "AND needs something on both sides");
}

function peek(reader: Reader): Token | undefined {
  return reader.tokens[reader.next];
}

function match(pattern: RegExp, text: string, index: number): RegExpExecArray | undefined {
  const sticky = new RegExp(pattern.source, pattern.flags);
  sticky.lastIndex = index;
  return sticky.exec(text) ?? undefined;
}

function refuse(at: number, reason: string): never {
  throw new StoreError("refused", `cannot read the search at character ${at}: ${reason}`);
}
