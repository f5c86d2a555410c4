import { StoreError } from "../errors.ts";
import { cypherTokens, isSign, wordOf } from "./cypher-tokens.ts";
import type { CypherToken } from "./cypher-tokens.ts";

// What may stand outside of quotes. Neo4j takes other dashes and angles (U+2010, U+27E8 and more) for
// those of patterns, and other letters in names; nothing is let through that could be read otherwise.
const SIGN = /^(?:\.\.|[()[\]{}<>,.:;=+\-*/%^|&!~$])$/;
const WORD = /^\w+$/;
const CLOSES: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/**
 * Reads a statement token by token and writes another: what is not written is left out, and nothing
 * but tokens is written, so that no comment or white space can be read in another way.
 */
export class CypherCursor {
  readonly #statement: string;
  readonly #tokens: readonly CypherToken[];
  readonly #written: string[] = [];
  #at = 0;

  /** @throws StoreError `refused` for what Neo4j would read in another way than we do. */
  constructor(statement: string) {
    // Neo4j decodes these before it looks for quotes: '\u0027 ends a text
    // (neo4j.com/docs/cypher-manual/5/syntax/parsing, "Using Unicode in Cypher").
    if (/\\u/i.test(statement)) refuse("write the character itself in place of a \\u escape");
    this.#statement = statement;
    this.#tokens = joinNumbers([...cypherTokens(statement)]);
    for (const { kind, text } of this.#tokens) {
      const isFine = kind === "sign" ? SIGN.test(text) : kind === "quoted" || WORD.test(text);
      if (!isFine) refuse(`${JSON.stringify(text)} must be in quotes or backticks`);
    }
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#tokens.length;
  }

  /** Which token comes next, for {@link source}; how much is written, for {@link writtenSince}. */
  get place(): { readonly token: number; readonly written: number } {
    return { token: this.#at, written: this.#written.length };
  }

  peek(ahead = 0): CypherToken | undefined {
    return this.#tokens[this.#at + ahead];
  }

  isSign(text: string, ahead = 0): boolean {
    return isSign(this.peek(ahead), text);
  }

  /** The next token as a lower-case word. */
  word(ahead = 0): string | undefined {
    return wordOf(this.peek(ahead));
  }

  /** Leaves the next token out of what is written. */
  skip(): CypherToken {
    const token = this.peek();
    if (token === undefined) refuse("the statement ends too early");
    this.#at += 1;
    return token;
  }

  /** Writes the next token, or `instead` in its place. */
  take(instead?: string): CypherToken {
    const gap = this.#gap(this.#at);
    const token = this.skip();
    this.#written.push(`${gap}${instead ?? token.text}`);
    return token;
  }

  /** Writes the next token, which must be this sign. */
  takeSign(text: string): void {
    if (!this.isSign(text)) refuse(`${text} is missing before ${this.#where()}`);
    this.take();
  }

  /** The next token, which must be a name. */
  nameAhead(): CypherToken {
    const token = this.peek();
    const isName =
      token?.kind === "word" || token?.kind === "number" || token?.text.startsWith("`") === true;
    return token !== undefined && isName ? token : this.refuseNext("a name was expected");
  }

  /** Writes the next token when it is this sign. */
  takeSignIf(text: string): boolean {
    if (!this.isSign(text)) return false;
    this.take();
    return true;
  }

  /** Writes something that the statement does not have. */
  write(text: string): void {
    this.#written.push(text);
  }

  /** What the token at `ahead`, an opening bracket, is followed by after the bracket that closes it. */
  afterClosing(ahead: number): number {
    let depth = 0;
    for (let index = ahead; ; index += 1) {
      const token = this.peek(index);
      if (token === undefined) refuse("a bracket is not closed");
      if (token.kind !== "sign") continue;
      if (token.text in CLOSES) depth += 1;
      if (Object.values(CLOSES).includes(token.text)) depth -= 1;
      if (depth === 0) return index + 1;
    }
  }

  /** The statement's own text from a place to here. */
  source(since: { readonly token: number }): string {
    const first = this.#tokens[since.token];
    const last = this.#tokens[this.#at - 1];
    if (first === undefined || last === undefined) return "";
    return this.#statement.slice(first.start, last.start + last.text.length);
  }

  /** Whether what was written since a place is not just what was read. */
  isChangedSince({
    token,
    written,
  }: {
    readonly token: number;
    readonly written: number;
  }): boolean {
    const read = this.#tokens
      .slice(token, this.#at)
      .map(({ text }, index) => `${this.#gap(token + index)}${text}`);
    return read.join("") !== this.#written.slice(written).join("");
  }

  /** All that was written. */
  get text(): string {
    return this.#written.join("").trim();
  }

  /** @throws StoreError `refused` naming the next token. */
  refuseNext(what: string): never {
    return refuse(`${what}: ${this.#where()}`);
  }

  #where(): string {
    const token = this.peek();
    return token === undefined ? "the end" : JSON.stringify(token.text.slice(0, 40));
  }

  #gap(index: number): string {
    const before = this.#tokens[index - 1];
    const token = this.#tokens[index];
    const isSpaced =
      before !== undefined &&
      token !== undefined &&
      before.start + before.text.length < token.start;
    return isSpaced ? " " : "";
  }
}

/** `1e5` and `0xFF` are numbers, not a number and a word. */
function joinNumbers(tokens: readonly CypherToken[]): CypherToken[] {
  const joined: CypherToken[] = [];
  for (const token of tokens) {
    const before = joined.at(-1);
    const isTail =
      token.kind === "word" &&
      before?.kind === "number" &&
      before.start + before.text.length === token.start;
    if (isTail) joined[joined.length - 1] = { ...before, text: before.text + token.text };
    else joined.push(token);
  }
  return joined;
}

/** Says what of a statement is not let through. */
export function refuse(reason: string): never {
  throw new StoreError("refused", reason);
}
