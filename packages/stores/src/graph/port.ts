import type { GraphPlacement } from "@custody/contract/placement";

import type { Cell } from "../analytics/port.ts";
import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Scope } from "../scope.ts";

/**
 * Graph: assets, dependencies and attack paths of a tenant, drawn from the records of many types.
 *
 * One collection holds the whole graph. A node or edge is there as long as a record says so: it
 * counts the records that name it (`_records`) and goes when the last of them is deleted. A node's
 * properties are those of the record with the highest sequence that set them.
 */
export interface GraphStore extends ProjectedStore<GraphPlacement> {
  readonly role: "graph";
  readonly limits: GraphLimits;

  /** The nodes one step away, ordered by edge type, label and id. */
  neighbours(
    scope: Scope,
    collection: Collection<GraphPlacement>,
    query: NeighbourQuery,
  ): Promise<NeighbourAnswer>;

  /**
   * Paths between two nodes, shortest first, at most `depthMax` edges long. A path may pass a node
   * twice but never an edge twice (a trail). With `only: "shortest"` just one shortest path is given.
   */
  paths(
    scope: Scope,
    collection: Collection<GraphPlacement>,
    query: PathQuery,
  ): Promise<PathAnswer>;

  /**
   * Runs one read-only Cypher statement.
   *
   * @throws StoreError `refused` when it would write, load a file, call a procedure or change a
   *   setting, or has an unbounded variable-length pattern; `limit` when it takes too long.
   */
  query(
    scope: Scope,
    collection: Collection<GraphPlacement>,
    request: CypherRequest,
  ): Promise<CypherAnswer>;

  /**
   * The engine's own plan for a statement, one step a line, for people; the statement is not run. Empty
   * for a collection that was never prepared.
   *
   * @throws StoreError as `query`.
   */
  explain(
    scope: Scope,
    collection: Collection<GraphPlacement>,
    request: CypherRequest,
  ): Promise<readonly string[]>;
}

export interface NodeRef {
  readonly label: string;
  readonly id: string;
}

export interface GraphNodeView extends NodeRef {
  readonly properties: Readonly<Record<string, Cell>>;
}

export interface GraphEdgeView {
  readonly type: string;
  readonly from: NodeRef;
  readonly to: NodeRef;
  /** How many records say so. */
  readonly records: number;
}

export interface NeighbourQuery {
  readonly node: NodeRef;
  readonly direction: "out" | "in" | "both";
  /** Edge types to follow; all when left out. */
  readonly types?: readonly string[];
  readonly limit: number;
}

export interface NeighbourAnswer {
  readonly neighbours: readonly { readonly edge: GraphEdgeView; readonly node: GraphNodeView }[];
  readonly checkpoint: number;
}

export interface PathQuery {
  readonly from: NodeRef;
  readonly to: NodeRef;
  readonly direction: "out" | "both";
  readonly types?: readonly string[];
  readonly depthMax: number;
  readonly only?: "shortest";
  readonly limit: number;
}

export interface PathAnswer {
  readonly paths: readonly {
    readonly nodes: readonly NodeRef[];
    readonly edges: readonly GraphEdgeView[];
  }[];
  readonly checkpoint: number;
}

export interface CypherRequest {
  readonly statement: string;
  readonly parameters?: Readonly<Record<string, Cell>>;
  readonly rowsMax: number;
  readonly timeMs: number;
}

export interface CypherAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  readonly isTruncated: boolean;
  readonly checkpoint: number;
}

export interface GraphLimits {
  readonly depthMax: number;
  readonly rowsMax: number;
}
