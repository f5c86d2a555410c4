import { StoreError } from "../errors.ts";
import { cypherTokens, isSign, wordSet } from "./cypher-tokens.ts";
import type { CypherToken } from "./cypher-tokens.ts";

/** What a user's statement may be made of. */
export interface CypherBounds {
  /** Longest variable-length pattern. */
  readonly depthMax: number;
  /** Longest statement, in UTF-16 units. */
  readonly lengthMax: number;
}

const BEGINNINGS = wordSet("match optional unwind with return");

const CLAUSES_REFUSED = wordSet(`
  create merge set delete detach remove drop alter comment copy load import export install uninstall
  attach use update call yield begin commit rollback checkpoint foreach force explain profile macro
  project_graph transaction`);

// These make memory out of nothing, which the engine does not count in its buffer pool: `range` of ten
// million took 7 GB where the pool was 64 MB.
const FUNCTIONS_REFUSED = wordSet(
  "range repeat lpad rpad list_resize array_resize nextval currval",
);

/**
 * Lets through one reading statement with bounded patterns, and answers it without a trailing semicolon.
 *
 * The engine's own read-only transaction refuses writes too; this also refuses what an engine calls
 * reading but touches files, settings or procedures.
 *
 * @throws StoreError `refused`, saying what is not allowed; `limit` for too long a statement or pattern.
 */
export function guardCypher(statement: string, { depthMax, lengthMax }: CypherBounds): string {
  if (statement.length > lengthMax) {
    throw new StoreError("limit", `the statement is longer than ${lengthMax} characters`);
  }
  const tokens = [...cypherTokens(statement)];
  while (isSign(tokens.at(-1), ";")) tokens.pop();
  const [first] = tokens;
  if (first?.kind !== "word" || !BEGINNINGS.has(first.text.toLowerCase())) {
    refuse("a statement begins with MATCH, OPTIONAL MATCH, UNWIND, WITH or RETURN");
  }
  for (const [index, token] of tokens.entries()) {
    if (isSign(token, ";")) refuse("only one statement is run at a time");
    if (token.kind === "word") checkWord(token.text, tokens[index - 1], tokens[index + 1]);
    if (isSign(token, "[") && isSign(tokens[index - 1], "-")) {
      checkPattern(tokens.slice(index + 1), depthMax);
    }
  }
  return statement.replace(/[;\s]+$/, "");
}

function checkWord(
  text: string,
  before: CypherToken | undefined,
  after: CypherToken | undefined,
): void {
  const word = text.toLowerCase();
  // A property, a label, an edge type or a member of a map may bear any name.
  if (isSign(before, ".") || isSign(before, ":") || isSign(before, "|")) return;
  if (isSign(after, ":")) return;
  if (CLAUSES_REFUSED.has(word))
    refuse(`${text.toUpperCase()} is not allowed; statements only read`);
  if (FUNCTIONS_REFUSED.has(word) && isSign(after, "(")) refuse(`${text}() is not allowed`);
}

/** Checks the tokens after the bracket of a relationship pattern: a `*` in it needs an upper bound. */
function checkPattern(tokens: readonly CypherToken[], depthMax: number): void {
  const inside = tokens.slice(0, closingBracket(tokens));
  const star = inside.findIndex((token) => isSign(token, "*"));
  if (star === -1) {
    if (inside.some((token) => isSign(token, "+"))) refuse("a pattern with + has no upper bound");
    return;
  }
  // Modes stand between: `*TRAIL 1..3`, `*ALL SHORTEST 1..3`, `*WSHORTEST(weight) 1..3`.
  const range = inside
    .slice(star + 1)
    .map((token) => (token.kind === "number" || isSign(token, "..") ? token.text : " "))
    .join("")
    .trim()
    .split(" ")[0];
  const bounds = /^(?:(\d+)|(\d+)?\.\.(\d+))$/.exec(range ?? "");
  const upper = Number(bounds?.[1] ?? bounds?.[3] ?? Number.NaN);
  if (Number.isNaN(upper))
    refuse(`a variable-length pattern needs an upper bound: *1..${depthMax}`);
  if (upper > depthMax) {
    throw new StoreError("limit", `a variable-length pattern has at most ${depthMax} steps`);
  }
}

/** Where the bracket before these tokens closes; their number when it never does. */
function closingBracket(tokens: readonly CypherToken[]): number {
  let depth = 1;
  for (const [index, token] of tokens.entries()) {
    if (isSign(token, "[")) depth += 1;
    if (isSign(token, "]")) depth -= 1;
    if (depth === 0) return index;
  }
  return tokens.length;
}

function refuse(reason: string): never {
  throw new StoreError("refused", reason);
}
