import type { DateTime, Node, Path, Relationship } from "neo4j-driver";

/** A stored node as it is read: labels and properties, the store's own among them. */
export class Neo4jNode {
  readonly labels: readonly string[];
  readonly properties: Neo4jRow;

  constructor(labels: readonly string[], properties: Neo4jRow) {
    this.labels = labels;
    this.properties = properties;
  }
}

/** A stored edge as it is read. */
export class Neo4jEdge {
  readonly type: string;
  readonly properties: Neo4jRow;
  /** Whether a path passes it against its direction; always false outside of paths. */
  readonly isBackwards: boolean;

  constructor(type: string, properties: Neo4jRow, isBackwards = false) {
    this.type = type;
    this.properties = properties;
    this.isBackwards = isBackwards;
  }
}

/** A path as it is read: one node more than edges. */
export class Neo4jPath {
  readonly nodes: readonly Neo4jNode[];
  readonly edges: readonly Neo4jEdge[];

  constructor(nodes: readonly Neo4jNode[], edges: readonly Neo4jEdge[]) {
    this.nodes = nodes;
    this.edges = edges;
  }
}

/**
 * A value as it is read: `null`, a text, a boolean, a double as `number`, a whole number as `bigint`,
 * an instant as `Date`, a node, an edge, a path, a list or a map of values.
 */
export type Neo4jValue = unknown;

/** Values by name. */
export type Neo4jRow = Readonly<Record<string, Neo4jValue>>;

/** The driver's own way to tell its values apart; `isNode` and its kin. */
export interface Neo4jGuards {
  readonly isNode: (value: object) => boolean;
  readonly isRelationship: (value: object) => boolean;
  readonly isPath: (value: object) => boolean;
  readonly isDateTime: (value: object) => boolean;
}

/** Makes a value of the driver, of any depth, into one that needs no driver to be understood. */
export function plainValue(value: unknown, guards: Neo4jGuards): Neo4jValue {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => plainValue(one, guards));
  if (guards.isNode(value)) return plainNode(value as Node, guards);
  if (guards.isRelationship(value)) {
    const { type, properties } = value as Relationship;
    return new Neo4jEdge(type, plainRow(properties, guards));
  }
  if (guards.isPath(value)) return plainPath(value as Path, guards);
  if (guards.isDateTime(value)) return instantOf(value as DateTime<bigint>) ?? textOf(value);
  if (value instanceof Int8Array) return Buffer.from(value).toString("hex");
  // Dates without a zone, durations and points have a text form of their own.
  const isMap = Object.getPrototypeOf(value) === Object.prototype;
  return isMap ? plainRow(value as Neo4jRow, guards) : textOf(value);
}

/** {@link plainValue} of every member. */
function plainRow(row: Neo4jRow, guards: Neo4jGuards): Neo4jRow {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, plainValue(value, guards)]),
  );
}

function plainNode({ labels, properties }: Node, guards: Neo4jGuards): Neo4jNode {
  return new Neo4jNode(labels, plainRow(properties, guards));
}

function plainPath({ start, segments }: Path, guards: Neo4jGuards): Neo4jPath {
  const nodes = [start, ...segments.map(({ end }) => end)];
  const edges = segments.map(
    ({ start: from, relationship: { type, properties, startNodeElementId } }) =>
      new Neo4jEdge(type, plainRow(properties, guards), startNodeElementId !== from.elementId),
  );
  return new Neo4jPath(
    nodes.map((node) => plainNode(node, guards)),
    edges,
  );
}

/** `undefined` for a zone without an offset, and for what no `Date` can be. */
function instantOf(value: DateTime<bigint>): Date | undefined {
  const { year, month, day, hour, minute, second, nanosecond, timeZoneOffsetSeconds } = value;
  if (timeZoneOffsetSeconds === undefined || timeZoneOffsetSeconds === null) return undefined;
  const instant = new Date(0);
  instant.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  const seconds = Number(second) - Number(timeZoneOffsetSeconds);
  const ms = Math.floor(Number(nanosecond) / 1_000_000);
  instant.setUTCHours(Number(hour), Number(minute), seconds, ms);
  return Number.isNaN(instant.getTime()) ? undefined : instant;
}

function textOf(value: object): string {
  return (value as { toString: () => string }).toString();
}
