import type { NodeRef } from "@custody/stores/graph/port";

import { usageError } from "../command-error.ts";

/** Reads a node of the graph, `Label:id`; only the first colon parts, as ids have colons too. */
export function parseNode(text: string): NodeRef {
  const at = text.indexOf(":");
  if (at > 0 && at < text.length - 1) return { label: text.slice(0, at), id: text.slice(at + 1) };
  throw usageError(
    `not a node: ${JSON.stringify(text)}`,
    "write Label:id, such as Component:lodash",
  );
}

/** Writes a node as {@link parseNode} reads it. */
export function nodeText({ label, id }: NodeRef): string {
  return `${label}:${id}`;
}
