import { canonicalJson } from "@custody/contract/json";
import type { ColumnType, GraphPlacement } from "@custody/contract/placement";
import { asText, coerceColumn } from "@custody/contract/value-expression";
import type { ColumnValue } from "@custody/contract/value-expression";

import { compileAllBeside, compileBeside, compileFramed } from "./aligned-values.ts";
import type { NodeRef } from "./port.ts";

/** What one record says about the graph; each node and each edge once. */
export interface Mention {
  readonly nodes: readonly MentionedNode[];
  readonly edges: readonly EdgeRef[];
}

export interface MentionedNode extends NodeRef {
  /** Only what the record sets. */
  readonly properties: Readonly<Record<string, ColumnValue>>;
}

export interface EdgeRef {
  readonly type: string;
  readonly from: NodeRef;
  readonly to: NodeRef;
}

/** A value that records gave a property, with the sequence it came in and how often. */
export type Saying = readonly [sequence: number, value: ColumnValue, count: number];

/** A node while records are folded into it. */
export interface FoldedNode extends NodeRef {
  records: number;
  /** What was said of each property, the latest first; the first is what the property is. */
  readonly said: Map<string, Saying[]>;
}

/** An edge while records are folded into it. */
export interface FoldedEdge extends EdgeRef {
  records: number;
}

/**
 * Earlier sayings kept for a property, so that it falls back to one of them when a record that set it
 * goes. Beyond it the oldest is forgotten: a property that thousands of records set stays small.
 */
const SAYINGS_MAX = 16;

/** Compiles a placement to a function that tells what a record says about the graph. */
export function compileMention(placement: GraphPlacement): (record: unknown) => Mention {
  const nodes = placement.nodes.map(compileNode);
  const edges = (placement.edges ?? []).map(compileEdge);
  return (record) => {
    const mentioned = new Map<string, MentionedNode>();
    const joined = new Map<string, EdgeRef>();
    for (const node of nodes) node(record, mentioned);
    for (const edge of edges) edge(record, mentioned, joined);
    return { nodes: [...mentioned.values()], edges: [...joined.values()] };
  };
}

function compileNode(
  node: GraphPlacement["nodes"][number],
): (record: unknown, into: Map<string, MentionedNode>) => void {
  const { label } = node;
  const ids = compileFramed(node.id);
  const properties = Object.entries(node.properties ?? {}).map(([name, { type, from }]) => ({
    name,
    type,
    take: compileBeside(from, node.id),
  }));
  return (record, into) => {
    for (const { value, frame } of ids(record)) {
      const taken: Record<string, ColumnValue> = {};
      for (const { name, type, take } of properties) {
        const property = normalProperty(type, take(frame));
        if (property !== null) taken[name] = property;
      }
      const id = nodeId(value);
      const key = `${label}\0${id}`;
      const before = into.get(key);
      into.set(key, {
        label,
        id,
        properties: before === undefined ? taken : { ...before.properties, ...taken },
      });
    }
  };
}

function compileEdge({
  type,
  from,
  to,
}: NonNullable<GraphPlacement["edges"]>[number]): (
  record: unknown,
  nodes: Map<string, MentionedNode>,
  into: Map<string, EdgeRef>,
) => void {
  const froms = compileFramed(from.id);
  const tos = compileAllBeside(to.id, from.id);
  return (record, nodes, into) => {
    for (const { value, frame } of froms(record)) {
      const start = { label: from.label, id: nodeId(value) };
      for (const other of tos(frame)) {
        const end = { label: to.label, id: nodeId(other) };
        mentionEnd(nodes, start);
        mentionEnd(nodes, end);
        into.set(edgeKey(type, start, end), { type, from: start, to: end });
      }
    }
  };
}

function mentionEnd(nodes: Map<string, MentionedNode>, { label, id }: NodeRef): void {
  const key = `${label}\0${id}`;
  if (!nodes.has(key)) nodes.set(key, { label, id, properties: {} });
}

/** The canonical name of an edge, which is also its row's id in reconciliation. */
export function edgeKey(type: string, from: NodeRef, to: NodeRef): string {
  return JSON.stringify(["e", type, from.label, from.id, to.label, to.id]);
}

/** The canonical name of a node, which is also its row's id in reconciliation. */
export function nodeKey({ label, id }: NodeRef): string {
  return JSON.stringify(["n", label, id]);
}

// A lone surrogate has no UTF-8 form, so no engine can keep it.
function nodeId(value: unknown): string {
  return asText(value).toWellFormed();
}

// Instants beyond this have no Date (ECMAScript §21.4.1.1), and no engine's timestamp.
const INSTANT_MAX = 8.64e15;

/** A value in the one form that every engine gives back; what does not fit its column is `null`. */
function normalProperty(type: ColumnType, taken: unknown): ColumnValue {
  const value = coerceColumn(type, taken);
  if (typeof value === "string") return value.toWellFormed();
  if (type === "timestamp" && typeof value === "number") {
    return Math.abs(value) <= INSTANT_MAX ? Math.trunc(value) + 0 : null;
  }
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (Array.isArray(value) && type === "text[]") {
    return value.map((text) => String(text).toWellFormed());
  }
  return Object.is(value, -0) ? 0 : value;
}

/**
 * Folds what records say into nodes and edges.
 *
 * Begun empty and given every live record of the journal in order, it holds the whole graph; given only
 * what changed, it holds the net change, which an engine adds to what it has.
 */
export class GraphFold {
  readonly nodes: Map<string, Map<string, FoldedNode>> = new Map();
  readonly edges: Map<string, FoldedEdge> = new Map();

  /** Puts in a node as it is stored, before what changes it is folded. */
  load(node: FoldedNode): void {
    this.#nodesOf(node.label).set(node.id, node);
  }

  /** Counts a record in. Records must come in the order of the journal. */
  add({ nodes, edges }: Mention, sequence: number): void {
    for (const mentioned of nodes) {
      const node = this.#node(mentioned);
      node.records += 1;
      for (const [name, value] of Object.entries(mentioned.properties)) {
        say(node.said, name, [sequence, value, 1]);
      }
    }
    for (const edge of edges) this.#edge(edge).records += 1;
  }

  /**
   * Takes back what a record said before it was changed or deleted.
   *
   * @param sequence the version that is taken back; when it is not known, the oldest equal saying goes.
   */
  retract({ nodes, edges }: Mention, sequence: number | undefined): void {
    for (const mentioned of nodes) {
      const node = this.#node(mentioned);
      node.records -= 1;
      for (const [name, value] of Object.entries(mentioned.properties)) {
        unsay(node.said, name, value, sequence);
      }
    }
    for (const edge of edges) this.#edge(edge).records -= 1;
  }

  #nodesOf(label: string): Map<string, FoldedNode> {
    const known = this.nodes.get(label);
    if (known !== undefined) return known;
    const nodes = new Map<string, FoldedNode>();
    this.nodes.set(label, nodes);
    return nodes;
  }

  #node({ label, id }: NodeRef): FoldedNode {
    const nodes = this.#nodesOf(label);
    let node = nodes.get(id);
    if (node === undefined) nodes.set(id, (node = { label, id, records: 0, said: new Map() }));
    return node;
  }

  #edge(edge: EdgeRef): FoldedEdge {
    const key = edgeKey(edge.type, edge.from, edge.to);
    let folded = this.edges.get(key);
    if (folded === undefined) this.edges.set(key, (folded = { ...edge, records: 0 }));
    return folded;
  }
}

/** The properties a node has: the latest saying of each. */
export function propertiesOf(
  said: ReadonlyMap<string, readonly Saying[]>,
): Map<string, ColumnValue> {
  const properties = new Map<string, ColumnValue>();
  for (const [name, [latest]] of said) if (latest !== undefined) properties.set(name, latest[1]);
  return properties;
}

function say(said: Map<string, Saying[]>, name: string, saying: Saying): void {
  const sayings = said.get(name);
  if (sayings === undefined) {
    said.set(name, [saying]);
    return;
  }
  const [sequence, value] = saying;
  const later = sayings.findIndex(([earlier]) => earlier <= sequence);
  const index = later === -1 ? sayings.length : later;
  const twin = sayings[index];
  if (twin !== undefined && twin[0] === sequence && isSame(twin[1], value)) {
    sayings[index] = [sequence, value, twin[2] + 1];
  } else {
    sayings.splice(index, 0, saying);
    sayings.length = Math.min(sayings.length, SAYINGS_MAX);
  }
}

function unsay(
  said: Map<string, Saying[]>,
  name: string,
  value: ColumnValue,
  sequence: number | undefined,
): void {
  const sayings = said.get(name) ?? [];
  const index = sayings.findLastIndex(
    ([when, what]) => (sequence === undefined || when === sequence) && isSame(what, value),
  );
  const found = sayings[index];
  if (found === undefined) return;
  if (found[2] > 1) sayings[index] = [found[0], found[1], found[2] - 1];
  else sayings.splice(index, 1);
  if (sayings.length === 0) said.delete(name);
}

function isSame(left: ColumnValue, right: ColumnValue): boolean {
  return left === right || canonicalJson(left) === canonicalJson(right);
}
