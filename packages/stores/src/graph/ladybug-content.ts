import type { ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";

import type { ContentRow } from "../content-form.ts";
import type { LadybugRow, LadybugSession } from "../drivers/ladybug.ts";
import { edgeContent, nodeContent } from "./content.ts";
import type { GraphModel } from "./graph-model.ts";
import { readProperty } from "./ladybug-read.ts";
import { quote } from "./ladybug-tables.ts";

// Nodes whose rows are in memory at a time; edges are taken by the nodes they begin at.
const NODES_PER_SCAN = 20_000;

/**
 * The rows really stored, part after part: edges by type and first label, then nodes by label. Within a part
 * in no order; the parts are in the order of their rows' ids.
 */
export async function* storedParts(
  session: LadybugSession,
  model: GraphModel,
): AsyncGenerator<AsyncIterable<ContentRow>> {
  const parts = new Map<string, () => AsyncIterable<ContentRow>>();
  for (const [type, pairs] of model.types) {
    for (const { from } of pairs) {
      const tos = pairs.filter((pair) => pair.from === from).map(({ to }) => to);
      parts.set(JSON.stringify(["e", type, from]), () => storedEdges(session, { type, from, tos }));
    }
  }
  for (const label of model.labels.keys()) {
    parts.set(JSON.stringify(["n", label]), () => storedNodes(session, model, label));
  }
  const names = [...parts.keys()].sort();
  for (const name of names) {
    const part = parts.get(name);
    if (part !== undefined) yield part();
  }
}

async function* storedNodes(
  session: LadybugSession,
  model: GraphModel,
  label: string,
): AsyncGenerator<ContentRow> {
  const types = [...(model.labels.get(label) ?? [])];
  const columns = types.map(([name], index) => `, n.${quote(name)} AS p${index}`).join("");
  for await (const range of offsetRanges(session, label)) {
    const rows = await session.run(
      `MATCH (n:${quote(label)}) WHERE offset(id(n)) >= $first AND offset(id(n)) < $past
        RETURN n.id AS id, n._records AS r${columns}`,
      range,
    );
    for (const row of rows) {
      const node = { label, id: String(row["id"]) };
      yield nodeContent(node, Number(row["r"]), storedProperties(types, row));
    }
  }
}

function storedProperties(
  types: readonly (readonly [string, ColumnType])[],
  row: LadybugRow,
): ReadonlyMap<string, ColumnValue> {
  const properties = new Map<string, ColumnValue>();
  for (const [index, [name, type]] of types.entries()) {
    const value = readProperty(type, row[`p${index}`]);
    if (value !== null) properties.set(name, value);
  }
  return properties;
}

async function* storedEdges(
  session: LadybugSession,
  { type, from, tos }: { readonly type: string; readonly from: string; readonly tos: string[] },
): AsyncGenerator<ContentRow> {
  for await (const range of offsetRanges(session, from)) {
    for (const to of tos) {
      const rows = await session.run(
        `MATCH (a:${quote(from)})-[k:${quote(type)}]->(b:${quote(to)})
          WHERE offset(id(a)) >= $first AND offset(id(a)) < $past
          RETURN a.id AS a, b.id AS b, k._records AS r`,
        range,
      );
      for (const row of rows) {
        const ends = {
          from: { label: from, id: String(row["a"]) },
          to: { label: to, id: String(row["b"]) },
        };
        yield edgeContent({ type, ...ends }, Number(row["r"]));
      }
    }
  }
}

async function* offsetRanges(
  session: LadybugSession,
  label: string,
): AsyncGenerator<{ first: number; past: number }> {
  const [row] = await session.run(`MATCH (n:${quote(label)}) RETURN max(offset(id(n))) AS highest`);
  const highest = Number(row?.["highest"] ?? -1);
  for (let first = 0; first <= highest; first += NODES_PER_SCAN) {
    yield { first, past: first + NODES_PER_SCAN };
  }
}
