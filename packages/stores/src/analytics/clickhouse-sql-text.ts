import { StoreError } from "../errors.ts";
import { quoteClickhouseName } from "../drivers/clickhouse-text.ts";

/** A statement of a tenant with the tables' names in place of `pack.type`. */
export interface TenantStatement {
  /** Without comments and without a semicolon at its end. */
  readonly text: string;
  /** The tables it names, as `pack.type`, each with the name that stands for it in `text`. */
  readonly tables: ReadonlyMap<string, string>;
}

/**
 * Reads a tenant's SQL word by word, and puts a plain name in place of each published table.
 *
 * This is no parser: what the statement means is asked of ClickHouse. It makes sure that both read
 * the same words: comments are left out, and signs that lexers may understand in several ways are
 * refused outside of quotes.
 *
 * @param published `pack.type` of the tables that may be named.
 * @throws StoreError `refused`.
 */
export function readStatement(sql: string, published: ReadonlySet<string>): TenantStatement {
  const tokens = tokenize(sql);
  while (tokens.at(-1)?.text === ";") tokens.pop();
  if (tokens.some(({ text }) => text === ";")) throw refuse("there must be exactly one SELECT");
  checkWords(tokens);
  checkBrackets(tokens);
  const spots = findTables(tokens, published);
  const tables = nameTables(tokens, spots);
  const words: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token === undefined) continue;
    const spot = spots.get(at);
    words.push(token.isApart ? " " : "");
    if (spot === undefined) words.push(token.text);
    else {
      words.push(quoteClickhouseName(tables.get(spot) ?? spot));
      at += 2;
    }
  }
  return { text: words.join("").trim(), tables };
}

interface Token {
  readonly text: string;
  /** True after white space or a comment. */
  readonly isApart: boolean;
  /** What the name is, for names in quotes and bare words. */
  readonly name?: string;
  readonly isQuoted?: boolean;
}

// A string, a name in quotes, a word or number, or one of the signs that SQL has.
const TOKEN =
  /((?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*)(?:('(?:[^'\\]|\\.|'')*')|("(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)|(\w+)|([-+*/%=<>!|.,;:()[\]])|$)/sy;

function tokenize(sql: string): Token[] {
  if (sql.includes("\0")) throw refuse("SQL has no NUL");
  if (!sql.isWellFormed()) throw refuse("it is no well-formed text");
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < sql.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(sql);
    const isOpen = match?.[5] === "/" && sql[TOKEN.lastIndex] === "*";
    if (match === null || isOpen) {
      throw refuse(`it cannot be read from ${JSON.stringify(sql.slice(at, at + 20).trim())} on`);
    }
    const [, gap = "", text, quoted, word, sign] = match;
    const isApart = gap !== "";
    if (text !== undefined) tokens.push({ text, isApart });
    else if (quoted !== undefined) {
      const name = unquote(quoted);
      tokens.push({ text: quoteClickhouseName(name), isApart, name, isQuoted: true });
    } else if (word !== undefined) tokens.push({ text: word, isApart, name: word });
    else if (sign !== undefined) tokens.push({ text: sign, isApart });
  }
  return tokens;
}

function unquote(quoted: string): string {
  const quote = quoted[0] ?? "";
  const inner = quoted.slice(1, -1);
  const name = inner.replaceAll(/\\(.)/gs, "$1").replaceAll(quote + quote, quote);
  // A line of the engine's tree of the statement must not be made to look like two.
  if (/[\p{Cc}\u2028\u2029]/u.test(inner) || /\\[^\\"'`]/.test(inner)) {
    throw refuse("a name has control characters");
  }
  return name;
}

// What would write, format or set stands outside of the tree of the SELECT.
function checkWords(tokens: readonly Token[]): void {
  for (const [at, { name, isQuoted }] of tokens.entries()) {
    if (name === undefined || isQuoted === true) continue;
    const word = name.toUpperCase();
    const isCall = tokens[at + 1]?.text === "(";
    if (word === "INTO" || word === "SETTINGS" || (word === "FORMAT" && !isCall)) {
      throw refuse(`${word} is not allowed; put a name that is one of these words in quotes`);
    }
  }
}

function checkBrackets(tokens: readonly Token[]): void {
  let depth = 0;
  for (const { text } of tokens) {
    if (text === "(") depth += 1;
    if (text === ")") depth -= 1;
    if (depth < 0) throw refuse("a bracket is closed that was not opened");
  }
}

/** Where `pack.type` stands at the beginning of a name: the index of its first token. */
function findTables(
  tokens: readonly Token[],
  published: ReadonlySet<string>,
): ReadonlyMap<number, string> {
  const spots = new Map<number, string>();
  for (const [at, { name }] of tokens.entries()) {
    const [dot, next] = [tokens[at + 1], tokens[at + 2]];
    if (name === undefined || dot?.text !== "." || next?.name === undefined) continue;
    const table = `${name}.${next.name}`;
    if (tokens[at - 1]?.text !== "." && published.has(table)) spots.set(at, table);
  }
  return spots;
}

// The type's own name, so that it can stand before a column; another where the statement uses it itself.
function nameTables(
  tokens: readonly Token[],
  spots: ReadonlyMap<number, string>,
): ReadonlyMap<string, string> {
  const used = new Set(
    tokens
      .filter(({ name }, at) => {
        const isOfTable = spots.has(at) || spots.has(at - 2);
        return name !== undefined && !isOfTable && tokens[at + 1]?.text !== ".";
      })
      .map(({ name = "" }) => name),
  );
  const names = new Map<string, string>();
  for (const table of spots.values()) {
    if (names.has(table)) continue;
    const type = table.slice(table.indexOf(".") + 1);
    const isFree = /^[A-Za-z_]\w*$/.test(type) && !used.has(type);
    const name = isFree ? type : `custody_table_${names.size + 1}`;
    used.add(name);
    names.set(table, name);
  }
  return names;
}

function refuse(reason: string): StoreError {
  return new StoreError("refused", `the SQL is refused: ${reason}`);
}
