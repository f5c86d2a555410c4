import type { NeighbourAnswer, PathAnswer } from "./port.ts";

type Neighbour = NeighbourAnswer["neighbours"][number];

/** The order of neighbours: edge type, then label, then id. */
export function byEdgeThenNode(left: Neighbour, right: Neighbour): number {
  return (
    compare(left.edge.type, right.edge.type) ||
    compare(left.node.label, right.node.label) ||
    compare(left.node.id, right.node.id)
  );
}

type Path = PathAnswer["paths"][number];

/** The order of paths of one length. */
export function byPath(left: Path, right: Path): number {
  return compare(pathText(left), pathText(right));
}

function pathText({ nodes, edges }: Path): string {
  return JSON.stringify([nodes.map(({ label, id }) => [label, id]), edges.map(({ type }) => type)]);
}

// UTF-8 order, which is the order of the engines' text and of code points.
function compare(left: string, right: string): number {
  return left === right ? 0 : Buffer.compare(Buffer.from(left), Buffer.from(right));
}
