import { refuse } from "./cypher-cursor.ts";
import type { CypherToken } from "./cypher-tokens.ts";
import type { GraphModel } from "./graph-model.ts";

/** What a variable of a statement stands for, as far as it is known. */
export type VariableKind = "node" | "edge" | "other";

const NODE_PROPERTIES = ["id", "_records", "_sequence", "_said"];
const EDGE_PROPERTIES = ["_records"];
const RESERVED = new Set(["_id", "_label"]);

/** The names that a collection's graph has, found whatever their case, as LadybugDB finds them. */
export class CypherNames {
  readonly #labels: ReadonlyMap<string, string>;
  readonly #types: ReadonlyMap<string, string>;
  readonly #nodeProperties: ReadonlyMap<string, string>;
  readonly #edgeProperties: ReadonlyMap<string, string> = byLowerCase(EDGE_PROPERTIES);
  readonly #kinds = new Map<string, VariableKind>();

  constructor({ labels, types }: GraphModel) {
    const properties = [...labels.values()].flatMap((ones) => [...ones.keys()]);
    this.#labels = byLowerCase(labels.keys());
    this.#types = byLowerCase(types.keys());
    this.#nodeProperties = byLowerCase([...NODE_PROPERTIES, ...properties]);
  }

  /** Notes what a variable is bound to; what is bound to different things is `other`. */
  bind(name: string, kind: VariableKind): void {
    const before = this.#kinds.get(name);
    this.#kinds.set(name, before === undefined || before === kind ? kind : "other");
  }

  kindOf(name: string | undefined): VariableKind {
    return name === undefined ? "other" : (this.#kinds.get(name) ?? "other");
  }

  /** @throws StoreError `refused` where the graph has no such label or edge type. */
  find(token: CypherToken, what: "label" | "edge type" | "label or edge type"): string {
    const name = nameOf(token).toLowerCase();
    const label = what === "edge type" ? undefined : this.#labels.get(name);
    const type = what === "label" ? undefined : this.#types.get(name);
    return label ?? type ?? refuse(`there is no ${what} ${token.text.slice(0, 80)}`);
  }

  /**
   * The name that a property of a variable is stored under.
   *
   * @throws StoreError `refused` for a name that is kept to the store, or one that no node has.
   */
  property(token: CypherToken, kind: VariableKind): string {
    const name = nameOf(token).toLowerCase();
    if (RESERVED.has(name)) refuse(`${name} is kept to the store`);
    if (kind === "other") return token.text;
    const known = kind === "node" ? this.#nodeProperties : this.#edgeProperties;
    const found = known.get(name);
    return (
      found ?? refuse(`there is no property ${token.text.slice(0, 80)} of the graph's ${kind}s`)
    );
  }
}

/** A name without its backticks. */
export function nameOf({ text }: Pick<CypherToken, "text">): string {
  return text.startsWith("`") ? text.slice(1, -1).replaceAll("``", "`") : text;
}

function byLowerCase(names: Iterable<string>): ReadonlyMap<string, string> {
  return new Map([...names].map((name) => [name.toLowerCase(), name]));
}
