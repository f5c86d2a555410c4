import type { CypherCursor } from "./cypher-cursor.ts";
import { CLAUSE_WORDS } from "./cypher-functions.ts";
import { nameOf } from "./cypher-names.ts";
import type { CypherNames } from "./cypher-names.ts";
import { neo4jKey } from "./neo4j-key.ts";

/**
 * Writes comparisons of a node's `id` as comparisons of its key, which has the index. Only where both
 * are the same: the other side is a text short enough to be its own key, and the comparison is a term
 * of its own, so that a node which is not there makes no difference.
 */
export class CypherKeys {
  readonly #cursor: CypherCursor;
  readonly #names: CypherNames;
  readonly #parameters: ReadonlySet<string>;

  constructor(cursor: CypherCursor, names: CypherNames, parameters: ReadonlySet<string>) {
    this.#cursor = cursor;
    this.#names = names;
    this.#parameters = parameters;
  }

  /** Takes `n.id = 'a'`, `n.id = $id` or `n.id IN $ids` where it stands between ANDs. */
  takeComparison(): boolean {
    const cursor = this.#cursor;
    const name = cursor.peek();
    const isId = cursor.isSign(".", 1) && cursor.word(2) === "id";
    const isCompared = cursor.isSign("=", 3) || cursor.word(3) === "in";
    if (name?.kind !== "word" || !isId || !isCompared) return false;
    if (this.#names.kindOf(nameOf(name)) !== "node") return false;
    const after = this.#afterKey(4);
    if (after === undefined || !this.#isTermEnd(after)) return false;
    cursor.take();
    cursor.take();
    cursor.take("_id");
    for (let ahead = 3; ahead < after; ahead += 1) cursor.take();
    // The index has both properties, and is used where both are asked for.
    cursor.write(` AND ${name.text}._label IS NOT NULL`);
    return true;
  }

  /** Takes `id: 'a'` or `id: $id` within the properties of a node pattern. */
  takeMember(label: string): boolean {
    const cursor = this.#cursor;
    if (cursor.word() !== "id" || !cursor.isSign(":", 1)) return false;
    const after = this.#afterKey(2);
    if (after === undefined) return false;
    if (!cursor.isSign("}", after) && !cursor.isSign(",", after)) return false;
    cursor.take(`_label: '${label}', _id`);
    for (let ahead = 1; ahead < after; ahead += 1) cursor.take();
    cursor.takeSignIf(",");
    return true;
  }

  /** Where the text or parameter at `ahead` ends, when it is its own key. */
  #afterKey(ahead: number): number | undefined {
    const cursor = this.#cursor;
    const token = cursor.peek(ahead);
    if (cursor.isSign("$", ahead)) {
      const name = cursor.peek(ahead + 1);
      return name !== undefined && this.#parameters.has(nameOf(name)) ? ahead + 2 : undefined;
    }
    const isText = token?.kind === "quoted" && /^["'][^\\]*$/.test(token.text);
    return isText && isKey(token.text.slice(1, -1)) ? ahead + 1 : undefined;
  }

  #isTermEnd(ahead: number): boolean {
    const cursor = this.#cursor;
    const word = cursor.word(ahead);
    if (word !== undefined) return word === "and" || CLAUSE_WORDS.has(word);
    return cursor.peek(ahead) === undefined || cursor.isSign("}", ahead);
  }
}

/** Names the parameters whose values are texts, or lists of texts, that are their own keys. */
export function keyParameters(parameters: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const named = Object.entries(parameters).filter(
    ([, value]) => isKey(value) || (Array.isArray(value) && value.every(isKey)),
  );
  return new Set(named.map(([name]) => name));
}

function isKey(value: unknown): boolean {
  return typeof value === "string" && neo4jKey(value) === value;
}
