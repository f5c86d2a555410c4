import type { ColumnType } from "@custody/contract/placement";
import { asText } from "@custody/contract/value-expression";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { ContentRow } from "../content-form.ts";
import type { Neo4jSession } from "../drivers/neo4j-session.ts";
import { Neo4jNode } from "../drivers/neo4j-values.ts";
import { edgeContent, nodeContent } from "./content.ts";
import { quote } from "./neo4j-apply.ts";
import type { Neo4jTarget } from "./neo4j-apply.ts";
import { storedProperty } from "./neo4j-cells.ts";

/**
 * The rows really stored, part after part: edges by type and first label, then nodes by label. Within a part
 * in no order; the parts are in the order of their rows' ids. Labels and types are what the database has,
 * not what the model says, so that a node of no known label is found too.
 */
export async function* storedParts(target: Neo4jTarget): AsyncGenerator<AsyncIterable<ContentRow>> {
  const { session, label: own } = target;
  const others = `[l IN labels(n) WHERE l <> '${own}']`;
  const labels = await session.run(`MATCH (n:${own}) RETURN DISTINCT ${others} AS labels`);
  const types = await session.run(
    `MATCH (n:${own})-[k]->() RETURN DISTINCT ${others} AS labels, type(k) AS type`,
  );
  const parts = new Map<string, () => AsyncIterable<ContentRow>>();
  for (const row of types) {
    const [type, from] = [String(row["type"]), labelNames(row["labels"])];
    parts.set(JSON.stringify(["e", type, nameOf(from)]), () =>
      storedEdges(session, { own, type, from }),
    );
  }
  for (const row of labels) {
    const names = labelNames(row["labels"]);
    parts.set(JSON.stringify(["n", nameOf(names)]), () => storedNodes(target, names));
  }
  for (const name of [...parts.keys()].sort()) {
    const part = parts.get(name);
    if (part !== undefined) yield part();
  }
}

/** How many nodes and edges there are. */
export async function countRows(
  session: Neo4jSession,
  own: string,
): Promise<{ readonly nodes: number; readonly edges: number }> {
  // Two counts that the database keeps, so that nothing is walked.
  const [nodes] = await session.run(`MATCH (n:${own}) RETURN count(n) AS c`);
  const [edges] = await session.run(`MATCH (:${own})-[k]->() RETURN count(k) AS c`);
  return { nodes: Number(nodes?.["c"] ?? 0), edges: Number(edges?.["c"] ?? 0) };
}

async function* storedNodes(
  { session, label: own, model }: Neo4jTarget,
  labels: readonly string[],
): AsyncGenerator<ContentRow> {
  const label = nameOf(labels);
  const types = model.labels.get(label) ?? new Map<string, ColumnType>();
  const statement = `MATCH (n:${[own, ...labels.map(quoteAny)].join(":")}) RETURN n`;
  for await (const { n } of session.stream(statement)) {
    if (!(n instanceof Neo4jNode) || n.labels.length > labels.length + 1) continue;
    const properties = new Map<string, ColumnValue>();
    for (const [name, type] of types) {
      const value = storedProperty(type, n.properties[name]);
      if (value !== null) properties.set(name, value);
    }
    const node = { label, id: idText(n.properties["id"]) };
    yield nodeContent(node, Number(n.properties["_records"] ?? 0), properties);
  }
}

async function* storedEdges(
  session: Neo4jSession,
  { own, type, from }: { readonly own: string; readonly type: string; readonly from: string[] },
): AsyncGenerator<ContentRow> {
  const statement = `MATCH (a:${[own, ...from.map(quoteAny)].join(":")})-[k:${quoteAny(type)}]->(b)
    RETURN labels(a) AS la, a.id AS a, labels(b) AS lb, b.id AS b, k._records AS r`;
  for await (const { la, a, lb, b, r } of session.stream(statement)) {
    const others = (labels: unknown): string[] =>
      labelNames(labels).filter((label) => label !== own);
    if (others(la).length > from.length) continue;
    const ends = {
      from: { label: nameOf(from), id: idText(a) },
      to: { label: nameOf(others(lb)), id: idText(b) },
    };
    yield edgeContent({ type, ...ends }, Number(r ?? 0));
  }
}

function labelNames(labels: unknown): string[] {
  return Array.isArray(labels) ? labels.map(String).sort() : [];
}

/** A node of ours has one label; what somebody else made may have none or several. */
function nameOf(labels: readonly string[]): string {
  return labels.join(":");
}

function idText(id: unknown): string {
  return typeof id === "string" ? id : asText(id ?? "");
}

/** Quotes a name that somebody else may have made. */
function quoteAny(name: string): string {
  return quote(name.replaceAll("`", "``"));
}
