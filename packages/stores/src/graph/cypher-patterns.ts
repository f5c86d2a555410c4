import type { CypherCursor } from "./cypher-cursor.ts";
import { nameOf } from "./cypher-names.ts";
import type { CypherNames, VariableKind } from "./cypher-names.ts";

/** What patterns are read and written with. */
export interface PatternParts {
  readonly cursor: CypherCursor;
  /** The label that every node pattern gets. */
  readonly label: string;
  readonly names: CypherNames;
  /** Reads and writes the condition within a pattern. */
  readonly condition: () => void;
  /** Reads and writes the properties within a pattern, of a node with just one label where that is known. */
  readonly map: (kind: VariableKind, label?: string) => void;
}

/** Reads patterns of nodes and edges, and writes them confined to one graph. */
export class CypherPatterns {
  readonly #parts: PatternParts;
  readonly #cursor: CypherCursor;

  constructor(parts: PatternParts) {
    this.#parts = parts;
    this.#cursor = parts.cursor;
  }

  /** Patterns between commas, each of which may have a name. */
  list(): void {
    const cursor = this.#cursor;
    do {
      if (cursor.isSign("=", 1)) {
        this.#parts.names.bind(nameOf(this.#cursor.nameAhead()), "other");
        cursor.take();
        cursor.take();
      }
      this.path();
    } while (cursor.takeSignIf(","));
  }

  /** Nodes and the edges between them, or the shortest of such. */
  path(): void {
    const cursor = this.#cursor;
    const word = cursor.word();
    if (word === "shortestpath" || word === "allshortestpaths") {
      cursor.take();
      cursor.takeSign("(");
      this.path();
      cursor.takeSign(")");
      return;
    }
    this.#node();
    while (this.#cursor.isSign("<") || this.#cursor.isSign("-")) {
      this.#edge();
      this.#node();
    }
  }

  #node(): void {
    const cursor = this.#cursor;
    cursor.takeSign("(");
    this.#bound("node");
    cursor.write(`:${this.#parts.label}`);
    let only: string | undefined;
    if (cursor.isSign(":")) {
      cursor.skip();
      const isOnly = cursor.isSign("{", 1) && !cursor.isSign("%");
      if (isOnly) only = this.#parts.names.find(cursor.nameAhead(), "label");
      cursor.write("&(");
      this.#labelExpression("label");
      cursor.write(")");
    }
    this.#conditions("node", only);
    cursor.takeSign(")");
  }

  #edge(): void {
    const cursor = this.#cursor;
    cursor.takeSignIf("<");
    cursor.takeSign("-");
    if (cursor.takeSignIf("[")) {
      const isMany = this.#isManyAhead();
      this.#bound(isMany ? "other" : "edge");
      if (cursor.takeSignIf(":")) this.#labelExpression("edge type");
      if (isMany) this.#steps();
      this.#conditions(isMany ? "other" : "edge");
      cursor.takeSign("]");
    }
    cursor.takeSign("-");
    cursor.takeSignIf(">");
    if (!cursor.isSign("(")) cursor.refuseNext("an edge leads to a node");
  }

  /** Whether the edge pattern at hand has a `*`. */
  #isManyAhead(): boolean {
    for (let ahead = 0; !this.#cursor.isSign("]", ahead); ahead += 1) {
      if (this.#cursor.isSign("*", ahead)) return true;
      if (this.#cursor.isSign("{", ahead) || this.#cursor.peek(ahead) === undefined) return false;
    }
    return false;
  }

  /** `*1..3`; LadybugDB's `TRAIL` is what Neo4j does anyway. */
  #steps(): void {
    const cursor = this.#cursor;
    cursor.takeSign("*");
    if (cursor.word() === "trail") cursor.skip();
    while (cursor.peek()?.kind === "number" || cursor.isSign("..")) cursor.take();
  }

  /** Properties to be equal, and a condition. */
  #conditions(kind: VariableKind, label?: string): void {
    const cursor = this.#cursor;
    if (cursor.isSign("{")) this.#parts.map(kind, label);
    if (cursor.word() !== "where") return;
    cursor.take();
    this.#parts.condition();
  }

  #bound(kind: VariableKind): void {
    const token = this.#cursor.peek();
    if (token?.kind === "sign" || this.#cursor.word() === "where") return;
    this.#parts.names.bind(nameOf(this.#cursor.nameAhead()), kind);
    this.#cursor.take();
  }

  /**
   * `A|B`, `!A`, `(A&B)`. Where LadybugDB has `A:B` for either of them, Neo4j has it for both, which no
   * node of ours has.
   */
  #labelExpression(what: "label" | "edge type"): void {
    const cursor = this.#cursor;
    for (;;) {
      while (cursor.takeSignIf("!"));
      if (cursor.takeSignIf("(")) {
        this.#labelExpression(what);
        cursor.takeSign(")");
      } else if (!cursor.takeSignIf("%")) {
        cursor.take(this.#parts.names.find(this.#cursor.nameAhead(), what));
      }
      if (cursor.isSign(":")) cursor.take("|");
      else if (cursor.takeSignIf("|")) {
        if (cursor.isSign(":")) cursor.skip();
      } else if (!cursor.takeSignIf("&")) return;
    }
  }
}
