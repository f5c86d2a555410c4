import type { ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { Cell } from "../analytics/port.ts";
import type { Neo4jSession } from "../drivers/neo4j-session.ts";
import { Neo4jEdge, Neo4jNode, Neo4jPath } from "../drivers/neo4j-values.ts";
import type { Neo4jRow } from "../drivers/neo4j-values.ts";
import { StoreError } from "../errors.ts";

/** A property as a statement's parameter. */
export function parameterOf(session: Neo4jSession, type: ColumnType, value: ColumnValue): unknown {
  if (type === "timestamp" && typeof value === "number") return session.instant(value);
  if (type === "integer" && typeof value === "number") return BigInt(value);
  // Numbers that JSON wrote without a point may be beyond 2^53.
  if (type === "real" || type === "vector") return doubles(value);
  return value;
}

function doubles(value: ColumnValue): unknown {
  if (typeof value === "bigint") return Number(value);
  return Array.isArray(value) ? value.map(Number) : value;
}

/** A stored property in the form of `normalProperty`; `null` for what the type cannot be. */
export function storedProperty(type: ColumnType, value: unknown): ColumnValue {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.getTime();
  if (typeof value === "bigint") return smallest(value);
  if (typeof value === "number") return value + 0;
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (!Array.isArray(value)) return null;
  return type === "vector" ? value.map(Number) : value.map(String);
}

function smallest(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

const HIDDEN = new Set(["id", "_id", "_label", "_records", "_sequence", "_said"]);

/**
 * A value of a user's answer as a cell; nodes, edges and paths become plain objects without bookkeeping.
 *
 * @param own the label of the graph that was asked.
 * @throws StoreError `refused` for a node of another graph, which no statement should ever reach.
 */
export function answerCell(value: unknown, own: string): Cell {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") {
    return value;
  }
  if (typeof value === "bigint") return smallest(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((one) => answerCell(one, own));
  if (value instanceof Neo4jNode) return nodeCell(value, own);
  if (value instanceof Neo4jEdge) {
    return { type: value.type, records: answerCell(value.properties["_records"], own) };
  }
  if (value instanceof Neo4jPath) {
    return { nodes: answerCell(value.nodes, own), edges: answerCell(value.edges, own) };
  }
  return cells(value as Neo4jRow, own);
}

function nodeCell({ labels, properties }: Neo4jNode, own: string): Cell {
  if (!labels.includes(own)) {
    throw new StoreError("refused", "the statement reached what is not of this graph");
  }
  const shown = Object.entries(properties).filter(([name]) => !HIDDEN.has(name));
  return {
    label: labels.find((label) => label !== own) ?? null,
    id: answerCell(properties["id"], own),
    properties: cells(Object.fromEntries(shown), own),
  };
}

function cells(row: Neo4jRow, own: string): Cell {
  return Object.fromEntries(
    Object.entries(row).map(([name, member]) => [name, answerCell(member, own)]),
  );
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;
const INT64_MAX = 2n ** 63n - 1n;

/**
 * A user's parameters as the driver takes them: whole numbers are whole numbers to Cypher too.
 *
 * @throws StoreError `refused` for a name that is no identifier, or a whole number beyond 64 bits.
 */
export function parameterCells(
  parameters: Readonly<Record<string, Cell>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, cell]) => {
      if (!NAME.test(name)) throw new StoreError("refused", "a parameter's name is no identifier");
      return [name, parameterCell(cell)];
    }),
  );
}

function parameterCell(cell: Cell): unknown {
  if (typeof cell === "number") return Number.isSafeInteger(cell) ? BigInt(cell) : cell;
  if (typeof cell === "bigint") {
    if (cell <= INT64_MAX && cell >= -INT64_MAX - 1n) return cell;
    throw new StoreError("refused", "a parameter is a whole number of more than 64 bits");
  }
  if (typeof cell === "string") return cell.toWellFormed();
  if (cell === null || typeof cell !== "object") return cell;
  if (isList(cell)) return cell.map(parameterCell);
  return Object.fromEntries(
    Object.entries(cell).map(([name, member]) => [name, parameterCell(member)]),
  );
}

function isList(cell: Cell): cell is readonly Cell[] {
  return Array.isArray(cell);
}
