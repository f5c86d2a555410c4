import type { RawBatch } from "./raw-store.ts";

/** What the graph takes of each record: session, model, probe, vulnerabilities. */
export type GraphRows = readonly (readonly [string, string, string, readonly string[]])[];

export function graphRows({ records }: RawBatch): GraphRows {
  return records.map(({ session_id, model, probe, vulnerability_ids }) => [
    session_id,
    model,
    probe,
    vulnerability_ids,
  ]);
}

/** Labels of the graph's nodes. */
export const LABELS: readonly Label[] = ["Session", "Model", "Probe", "Vulnerability"];
type Label = "Session" | "Model" | "Probe" | "Vulnerability";
type EdgeType = "TESTED" | "USED" | "FOUND";
/** Types of the graph's edges, with the labels of their ends. */
export const EDGES: Readonly<Record<EdgeType, readonly [Label, Label]>> = {
  TESTED: ["Session", "Model"],
  USED: ["Session", "Probe"],
  FOUND: ["Probe", "Vulnerability"],
};

interface Edge {
  readonly type: EdgeType;
  readonly from: string;
  readonly to: string;
  count: number;
  /** Not stored yet. */
  isFresh: boolean;
}

/** A node's id, or an edge with its count. */
export type GraphValue = string | { from: string; to: string; count: number };

/** Nodes and edges seen so far, and those that have to be written. */
export class PendingGraph {
  readonly #nodes = new Set<string>();
  readonly #edges = new Map<string, Edge>();
  #fresh = new Map<Label, string[]>();
  #changed = new Set<Edge>();

  add(rows: GraphRows): void {
    for (const [session, model, probe, vulnerabilities] of rows) {
      this.#edge("TESTED", session, model);
      this.#edge("USED", session, probe);
      for (const vulnerability of vulnerabilities) this.#edge("FOUND", probe, vulnerability);
    }
  }

  /** What is to be written, in order; nodes before the edges between them. */
  take(): readonly { readonly statement: string; readonly rows: readonly GraphValue[] }[] {
    const edges = [...this.#changed];
    const plain = (type: string, isFresh: boolean): GraphValue[] =>
      edges
        .filter((edge) => edge.type === type && edge.isFresh === isFresh)
        .map(({ from, to, count }) => ({ from, to, count }));
    const types = Object.keys(EDGES);
    const taken = [
      ...LABELS.map((label) => ({ statement: label, rows: this.#fresh.get(label) ?? [] })),
      ...types.map((type) => ({ statement: `add ${type}`, rows: plain(type, true) })),
      ...types.map((type) => ({ statement: `count ${type}`, rows: plain(type, false) })),
    ];
    for (const edge of edges) edge.isFresh = false;
    this.#changed = new Set();
    this.#fresh = new Map();
    return taken;
  }

  #edge(type: EdgeType, from: string, to: string): void {
    const key = `${type} ${from} ${to}`;
    let edge = this.#edges.get(key);
    if (edge === undefined) {
      this.#node(EDGES[type][0], from);
      this.#node(EDGES[type][1], to);
      edge = { type, from, to, count: 0, isFresh: true };
      this.#edges.set(key, edge);
    }
    edge.count += 1;
    this.#changed.add(edge);
  }

  #node(label: Label, id: string): void {
    const key = `${label} ${id}`;
    if (this.#nodes.has(key)) return;
    this.#nodes.add(key);
    const list = this.#fresh.get(label) ?? [];
    list.push(id);
    this.#fresh.set(label, list);
  }
}
