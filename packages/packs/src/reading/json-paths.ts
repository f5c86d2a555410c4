/** A point in the tree of asked paths. */
export interface PathNode {
  /** The asked path that ends here. */
  path?: string;
  /** What lies below the named members of an object. */
  readonly members: Map<string, PathNode>;
  /** What lies below every other member (`*`). */
  any?: PathNode;
  /** What lies below the elements of an array (`[]`). */
  each?: PathNode;
}

/**
 * Joins asked paths into one tree, so that a document is walked once for all of them.
 *
 * Steps are separated by dots; a step is a member's name, `*`, or `[]`, and `[]` may follow a step
 * without a dot: `Results[].Vulnerabilities[]`, `*[]`, `[].Target`.
 */
export function pathTree(paths: readonly string[]): PathNode {
  const root: PathNode = { members: new Map() };
  for (const path of paths) {
    let node = root;
    for (const step of steps(path)) node = below(node, step);
    node.path = path;
  }
  inheritStars(root);
  return root;
}

/** A named member answers to `*` too, where it is no container that is stepped into. */
function inheritStars(node: PathNode): void {
  const star = node.any?.path;
  for (const child of node.members.values()) {
    if (star !== undefined) child.path ??= star;
    inheritStars(child);
  }
  if (node.any !== undefined) inheritStars(node.any);
  if (node.each !== undefined) inheritStars(node.each);
}

function steps(path: string): string[] {
  const found: string[] = [];
  for (const part of path === "" ? [] : path.split(".")) {
    let name = part;
    let depth = 0;
    for (; name.endsWith("[]"); depth += 1) name = name.slice(0, -2);
    if (name !== "") found.push(name);
    for (let level = 0; level < depth; level += 1) found.push("[]");
  }
  return found;
}

function below(node: PathNode, step: string): PathNode {
  if (step === "[]") return (node.each ??= { members: new Map() });
  if (step === "*") return (node.any ??= { members: new Map() });
  const known = node.members.get(step);
  if (known !== undefined) return known;
  const made: PathNode = { members: new Map() };
  node.members.set(step, made);
  return made;
}

/** The node for a member: a name that is asked for wins over `*`. */
export function memberNode(node: PathNode, name: string): PathNode | undefined {
  return node.members.get(name) ?? node.any;
}

/** Whether an object is stepped into, not given out. */
export function stepsIntoObject(node: PathNode): boolean {
  return node.members.size > 0 || node.any !== undefined;
}

/** One more pointer token, escaped as RFC 6901 §3 says. */
export function pointerToken(name: string): string {
  return `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}
