import { canonicalJson } from "@custody/contract/json";
import type { GraphPlacement } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { ContentRow } from "../content-form.ts";
import { GraphFold, compileMention, edgeKey, nodeKey, propertiesOf } from "./graph-fold.ts";
import type { EdgeRef } from "./graph-fold.ts";
import type { NodeRef } from "./port.ts";

/** The sequence of every row of a graph: nodes and edges belong to many records, so to no one entry. */
export const GRAPH_SEQUENCE = 0;

/** Folds live records, one after another in the order of the journal, into the rows a graph must hold. */
export interface GraphContent {
  add(type: string, record: unknown, sequence: number): void;
  /** Every node and edge, in no particular order. */
  rows(): Iterable<ContentRow>;
}

/** Begins the journal side of a graph's reconciliation. Memory grows with the graph, not with the records. */
export function graphContent(placements: Readonly<Record<string, GraphPlacement>>): GraphContent {
  const mentions = new Map(
    Object.entries(placements).map(([type, placement]) => [type, compileMention(placement)]),
  );
  const fold = new GraphFold();
  return {
    add(type, record, sequence) {
      const mention = mentions.get(type);
      if (mention !== undefined) fold.add(mention(record), sequence);
    },
    *rows() {
      for (const nodes of fold.nodes.values()) {
        for (const node of nodes.values()) {
          yield nodeContent(node, node.records, propertiesOf(node.said));
        }
      }
      for (const edge of fold.edges.values()) yield edgeContent(edge, edge.records);
    },
  };
}

/** The content form of a node; properties without a value are left out. */
export function nodeContent(
  node: NodeRef,
  records: number,
  properties: ReadonlyMap<string, ColumnValue>,
): ContentRow {
  return {
    id: nodeKey(node),
    content: canonicalJson({ properties: Object.fromEntries(properties), _records: records }),
  };
}

/** The content form of an edge. */
export function edgeContent({ type, from, to }: EdgeRef, records: number): ContentRow {
  return { id: edgeKey(type, from, to), content: canonicalJson({ _records: records }) };
}
