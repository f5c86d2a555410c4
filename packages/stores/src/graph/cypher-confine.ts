import { CypherCursor, refuse } from "./cypher-cursor.ts";
import {
  CLAUSE_WORDS,
  CYPHER_FUNCTIONS,
  FUNCTION_NAMES,
  OPERATOR_WORDS,
} from "./cypher-functions.ts";
import { CypherKeys } from "./cypher-keys.ts";
import { CypherNames, nameOf } from "./cypher-names.ts";
import type { VariableKind } from "./cypher-names.ts";
import { CypherPatterns } from "./cypher-patterns.ts";
import type { GraphModel } from "./graph-model.ts";

/** The part of a shared database that a statement is confined to. */
export interface CypherConfinement {
  /** The label that every node of the graph has, and no other node. A plain word. */
  readonly label: string;
  readonly model: GraphModel;
  /** The parameters whose values are texts, or lists of texts, by which nodes are found. */
  readonly keyParameters: ReadonlySet<string>;
}

/**
 * Rewrites a guarded statement so that each of its node patterns matches nodes of one graph only; as no
 * edge leads out of a graph, nothing else can be reached. What Neo4j shows of a node beyond its own
 * (the label, the bookkeeping) is taken out of the answers of `labels` and `keys`.
 *
 * It is a parser of the part of Cypher 5 that it lets through, not a search for patterns: what it does
 * not know is refused, and what it writes is made of the tokens it has understood.
 *
 * @throws StoreError `refused`, saying what is not understood or not allowed.
 */
export function confineCypher(statement: string, confinement: CypherConfinement): string {
  const names = new CypherNames(confinement.model);
  // The first reading finds what each variable is bound to, the second makes use of it.
  new CypherRewriter(statement, { ...confinement, names }).rewrite();
  return new CypherRewriter(statement, { ...confinement, names }).rewrite();
}

interface Rewriting extends CypherConfinement {
  readonly names: CypherNames;
}

/** Where an expression stands: within brackets WHERE is part of it, and no clause may begin. */
type Depth = "clause" | "inside";

class CypherRewriter {
  readonly #cursor: CypherCursor;
  readonly #label: string;
  readonly #names: CypherNames;
  readonly #patterns: CypherPatterns;
  readonly #keys: CypherKeys;

  constructor(statement: string, { label, names, keyParameters }: Rewriting) {
    this.#cursor = new CypherCursor(statement);
    this.#label = label;
    this.#names = names;
    this.#keys = new CypherKeys(this.#cursor, names, keyParameters);
    this.#patterns = new CypherPatterns({
      cursor: this.#cursor,
      label,
      names,
      condition: () => void this.#expression("inside"),
      map: (kind, only) => this.#map(kind, only),
    });
  }

  rewrite(): string {
    this.#query();
    if (!this.#cursor.isAtEnd) this.#cursor.refuseNext("a clause was expected");
    return this.#cursor.text;
  }

  /** Clauses up to the end, or to the brace that closes a subquery. */
  #query(): void {
    const cursor = this.#cursor;
    while (!cursor.isAtEnd && !cursor.isSign("}")) {
      const clause = cursor.word();
      if (clause === "optional") {
        cursor.take();
        if (cursor.word() !== "match") cursor.refuseNext("OPTIONAL is followed by MATCH");
      } else if (clause === "match") {
        cursor.take();
        this.#patterns.list();
      } else if (clause === "unwind" || clause === "where") {
        cursor.take();
        this.#expression("clause", { isCondition: clause === "where" });
      } else if (clause === "with" || clause === "return") {
        cursor.take();
        this.#projection(clause === "return");
      } else if (clause === "union") {
        cursor.take();
        if (cursor.word() === "all" || cursor.word() === "distinct") cursor.take();
      } else cursor.refuseNext("no clause that is allowed");
    }
  }

  #projection(isAnswer: boolean): void {
    const cursor = this.#cursor;
    if (cursor.word() === "distinct") cursor.take();
    do {
      const before = cursor.place;
      const isNamed = this.#expression("clause", { isItem: true });
      // A column without a name is called as it is written: as the user wrote it, not as we did.
      if (isAnswer && !isNamed && cursor.isChangedSince(before)) {
        cursor.write(` AS \`${cursor.source(before).replaceAll("`", "``")}\``);
      }
    } while (cursor.takeSignIf(","));
    for (;;) {
      const word = cursor.word();
      if (word === "order") {
        cursor.take();
        if (cursor.word() !== "by") cursor.refuseNext("ORDER is followed by BY");
        cursor.take();
      } else if (word === "skip" || word === "limit" || word === "offset") cursor.take();
      else return;
      this.#expression("clause");
    }
  }

  /** Values and operators up to what ends them; answers whether an `AS` was among them. */
  #expression(depth: Depth, { isItem = false, isCondition = false } = {}): boolean {
    const cursor = this.#cursor;
    let isNamed = false;
    let isTerm = isCondition;
    // The value just read: a bracket after it would be a call, an index or a projection.
    let value: Value | undefined;
    while (!cursor.isAtEnd && !(isItem && cursor.isSign(","))) {
      const word = cursor.word();
      if (CLOSING.some((sign) => cursor.isSign(sign))) break;
      if (word !== undefined && this.#isClause(word, depth)) break;
      if (isTerm && this.#keys.takeComparison()) value = OTHER;
      else value = this.#next(value);
      if (word === "as") isNamed = true;
      isTerm = isCondition && word === "and";
    }
    return isNamed;
  }

  /** Reads on by a value or an operator. */
  #next(value: Value | undefined): Value | undefined {
    const token = this.#cursor.peek();
    if (token?.kind === "sign") return this.#sign(token.text, value);
    if (token?.kind === "word") return this.#word(token.text.toLowerCase());
    const { text } = this.#cursor.take();
    return text.startsWith("`") ? this.#variable(text) : OTHER;
  }

  #isClause(word: string, depth: Depth): boolean {
    if (!CLAUSE_WORDS.has(word)) return false;
    if (depth === "clause") return true;
    if (word === "where") return false;
    return this.#cursor.refuseNext("no clause may begin in brackets");
  }

  /** Reads on at a sign that ends nothing. */
  #sign(sign: string, value: Value | undefined): Value | undefined {
    const cursor = this.#cursor;
    switch (sign) {
      case "(":
        if (value !== undefined) cursor.refuseNext("a bracket after a value");
        this.#group();
        return OTHER;
      case "[":
        if (value !== undefined && value.kind !== "other") {
          cursor.refuseNext("properties are named after a dot");
        }
        this.#within("[", "]");
        return OTHER;
      case "{":
        if (value !== undefined) cursor.refuseNext("a map after a value");
        this.#map();
        return OTHER;
      case ".":
        cursor.take();
        this.#property(value);
        return OTHER;
      case ":":
        if (value === undefined) cursor.refuseNext("a label without a variable");
        cursor.take();
        cursor.take(this.#names.find(cursor.nameAhead(), "label or edge type"));
        return OTHER;
      case "$":
        cursor.take();
        this.#cursor.nameAhead();
        cursor.take();
        return OTHER;
      case "&":
      case "!":
      case ";":
        return cursor.refuseNext("no operator of an expression");
      default:
        cursor.take();
        return undefined;
    }
  }

  #property(value: Value | undefined): void {
    const cursor = this.#cursor;
    const token = cursor.peek();
    // `1.5` and `.5`
    if (token?.kind === "number") return void cursor.take();
    if (value === undefined) return cursor.refuseNext("a property without a variable");
    cursor.take(this.#names.property(this.#cursor.nameAhead(), value.kind));
    if (cursor.isSign("(")) cursor.refuseNext("no function that is allowed");
  }

  #word(word: string): Value | undefined {
    const cursor = this.#cursor;
    if ((word === "exists" || word === "count" || word === "collect") && cursor.isSign("{", 1)) {
      cursor.take();
      this.#subquery(word === "collect");
      return OTHER;
    }
    if (word === "starts" || word === "ends") {
      cursor.take();
      if (cursor.word() === "with") cursor.take();
      return undefined;
    }
    if (OPERATOR_WORDS.has(word)) {
      cursor.take();
      if (word === "as") this.#names.bind(nameOf(this.#cursor.nameAhead()), "other");
      return undefined;
    }
    const chain = this.#functionAhead();
    if (chain === undefined) {
      const token = cursor.take();
      if (cursor.word() === "in") this.#names.bind(token.text, "other");
      return this.#variable(token.text);
    }
    this.#call(chain);
    return OTHER;
  }

  #variable(text: string): Value {
    return { kind: this.#names.kindOf(nameOf({ text })) };
  }

  /** `name(` or `name.name(`, in lower case; `undefined` for what is no call. */
  #functionAhead(): string | undefined {
    const cursor = this.#cursor;
    let name = cursor.word();
    let ahead = 1;
    for (; cursor.isSign(".", ahead) && cursor.word(ahead + 1) !== undefined; ahead += 2) {
      name = `${name}.${cursor.word(ahead + 1)}`;
    }
    return cursor.isSign("(", ahead) ? name : undefined;
  }

  #call(name: string): void {
    const cursor = this.#cursor;
    if (name === "shortestpath" || name === "allshortestpaths") return this.#patterns.path();
    if (!CYPHER_FUNCTIONS.has(name)) refuse(`${name}() is not allowed`);
    if (name === "label") return this.#labelOf();
    if (name === "labels") return this.#listWithout("labels", `'${this.#label}'`);
    if (name === "keys") {
      return this.#listWithout("keys", "'_id','_label','_records','_sequence','_said'");
    }
    // LadybugDB's `timestamp('2026-01-02')`; without arguments it is Neo4j's own.
    if (name === "timestamp" && !cursor.isSign(")", 2)) cursor.take("datetime");
    else cursor.take(FUNCTION_NAMES[name]);
    while (!cursor.isSign("(")) cursor.take();
    if (name === "reduce") this.#names.bind(cursor.peek(1)?.text ?? "", "other");
    this.#within("(", ")");
  }

  /** `labels(x)` or `keys(x)` without what is the store's own. */
  #listWithout(name: string, hidden: string): void {
    this.#cursor.take(`[_shown IN ${name}`);
    this.#within("(", ")");
    this.#cursor.write(` WHERE NOT _shown IN [${hidden}]]`);
  }

  /** LadybugDB's `label(x)`, the one label of a node or the type of an edge. */
  #labelOf(): void {
    const cursor = this.#cursor;
    const isPlain = cursor.word(2) !== undefined && cursor.isSign(")", 3);
    if (!isPlain) refuse("label() takes a variable");
    const name = cursor.peek(2)?.text ?? "";
    const kind = this.#names.kindOf(name);
    if (kind === "node") cursor.take(`(${name}._label)`);
    else if (kind === "edge") cursor.take(`type(${name})`);
    else {
      cursor.take(
        `CASE WHEN ${name} IS :: RELATIONSHIP THEN type(${name}) ELSE ${name}._label END`,
      );
    }
    for (let rest = 0; rest < 3; rest += 1) cursor.skip();
  }

  /** A bracket in an expression: a pattern, or values in brackets. */
  #group(): void {
    const cursor = this.#cursor;
    const after = cursor.afterClosing(0);
    if (this.#isEdgeAhead(after)) return this.#patterns.path();
    if (cursor.isSign(")", 1) || cursor.isSign(":", 1)) {
      cursor.refuseNext("a node pattern outside of a path");
    }
    this.#within("(", ")");
  }

  /**
   * Whether an edge pattern follows.
   *
   * @throws StoreError `refused` for what only looks like one: it might be read as one.
   */
  #isEdgeAhead(at: number): boolean {
    const cursor = this.#cursor;
    let ahead = cursor.isSign("<", at) ? at + 1 : at;
    if (!cursor.isSign("-", ahead)) return false;
    ahead += 1;
    const isFull = cursor.isSign("[", ahead);
    if (isFull) ahead = cursor.afterClosing(ahead);
    if (!isFull && !cursor.isSign("-", ahead) && !cursor.isSign(">", ahead)) return false;
    const isEnded = cursor.isSign("-", ahead);
    if (isEnded && cursor.isSign("(", cursor.isSign(">", ahead + 1) ? ahead + 2 : ahead + 1)) {
      return true;
    }
    return refuse("what looks like a pattern is none; put spaces or brackets elsewhere");
  }

  #within(open: string, close: string): void {
    this.#cursor.takeSign(open);
    this.#expression("inside");
    this.#cursor.takeSign(close);
  }

  /** @param label the only label of the node whose properties these are. */
  #map(kind: VariableKind = "other", label?: string): void {
    const cursor = this.#cursor;
    cursor.takeSign("{");
    while (!cursor.isSign("}")) {
      if (label !== undefined && this.#keys.takeMember(label)) continue;
      cursor.take(this.#names.property(this.#cursor.nameAhead(), kind));
      cursor.takeSign(":");
      this.#expression("inside", { isItem: true });
      if (!cursor.isSign("}")) cursor.takeSign(",");
    }
    cursor.take();
  }

  #subquery(isWhole: boolean): void {
    const cursor = this.#cursor;
    cursor.takeSign("{");
    const isQuery = ["match", "optional", "unwind", "with", "return"].includes(cursor.word() ?? "");
    if (isQuery) this.#query();
    else if (isWhole) cursor.refuseNext("a clause was expected");
    else {
      this.#patterns.list();
      if (cursor.word() === "where") {
        cursor.take();
        this.#expression("clause", { isCondition: true });
      }
    }
    cursor.takeSign("}");
  }
}

interface Value {
  readonly kind: VariableKind;
}

const CLOSING = [")", "]", "}"];
const OTHER: Value = { kind: "other" };
