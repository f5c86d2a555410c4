import type { Cell } from "@custody/stores/analytics/port";
import type { GraphEdgeView, NodeRef, PathAnswer } from "@custody/stores/graph/port";
import type { Command } from "commander";

import { given } from "../given.ts";
import { countOf, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { isNumeric, valueText } from "../output/value-text.ts";
import { visibleText } from "../output/visible-text.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { readJson } from "../values/filter-argument.ts";
import { oneOf } from "../values/measure-argument.ts";
import { nodeText, parseNode } from "../values/node-argument.ts";
import { collect, collectNames, parseAssignment, parseCount } from "../values/numbers-and-names.ts";
import { parseDuration } from "../values/time.ts";
import { statementOf } from "./aggregate.ts";
import { EXPLAIN, showPlan } from "./plan.ts";

interface EdgeArguments {
  readonly direction: string;
  readonly edge?: readonly string[];
  readonly limit?: number;
}

interface PathArguments extends EdgeArguments {
  readonly depth?: number;
  readonly shortest?: boolean;
}

interface CypherArguments {
  readonly explain?: boolean;
  readonly param?: readonly string[];
  readonly limit?: number;
  readonly time?: number;
}

/** Registers `graph neighbours`, `graph paths` and `graph query`. */
export function addGraphCommands(program: Command, context: CommandContext): void {
  const graph = program
    .command("graph")
    .description(
      "asks the graph of assets, dependencies and attack paths; nodes are written Label:id",
    );
  graph
    .command("neighbours <node>")
    .description("Lists the nodes one step away from Label:id.")
    .option("--direction <direction>", "out, in or both", "both")
    .option("--edge <types>", "follow only edges of these types", collectNames)
    .option("--limit <n>", "nodes at most (100)", parseCount)
    .action((node: string, options: EdgeArguments, command: Command) =>
      withSession(context, command, (session) => showNeighbours(session, node, options)),
    );
  graph
    .command("paths <from> <to>")
    .description(
      "Lists paths from one node to another, shortest first; nodes are written Label:id.",
    )
    .option(
      "--direction <direction>",
      "out, or both to follow edges against their direction",
      "out",
    )
    .option("--edge <types>", "follow only edges of these types", collectNames)
    .option("--depth <n>", "edges at most (6)", parseCount)
    .option("--shortest", "one shortest path only")
    .option("--limit <n>", "paths at most (10)", parseCount)
    .action((from: string, to: string, options: PathArguments, command: Command) =>
      withSession(context, command, (session) => showPaths(session, [from, to], options)),
    );
  graph
    .command("query <cypher>")
    .description(
      'Runs one read-only Cypher statement; "@file" reads it from a file, "-" from standard input.',
    )
    .option("--param <name=json>", "a parameter, $name in the statement; may be repeated", collect)
    .option("--limit <n>", "rows at most (1,000)", parseCount)
    .option("--time <duration>", "time it may take (30s)", parseDuration)
    .option(...EXPLAIN)
    .action((statement: string, options: CypherArguments, command: Command) =>
      withSession(context, command, (session) => runCypher(session, statement, options)),
    );
}

const NEIGHBOURS_DEFAULT = 100;
const PATHS_DEFAULT = 10;
const DEPTH_DEFAULT = 6;
const ROWS_DEFAULT = 1_000;
const TIME_MS = 30_000;

async function showNeighbours(
  session: Session,
  node: string,
  options: EdgeArguments,
): Promise<void> {
  const { custody, scope, show, paint, terminal, atLeast } = session;
  const answer = await custody.graph.neighbours(scope, {
    node: parseNode(node),
    direction: oneOf(options.direction, ["out", "in", "both"], "direction"),
    limit: options.limit ?? NEIGHBOURS_DEFAULT,
    ...given({ types: options.edge }),
    ...atLeast,
  });
  await show(answer, () => {
    if (answer.neighbours.length === 0) return "no node is one step away\n";
    const table = renderTable(
      [
        { title: "edge" },
        { title: "node", isWhole: true },
        { title: "records", align: "right" },
        { title: "properties" },
      ],
      answer.neighbours.map(({ edge, node: found }) => {
        const isOut = edge.to.id === found.id && edge.to.label === found.label;
        return [
          isOut ? `──${edge.type}─▶` : `◀─${edge.type}──`,
          { text: nodeText(found), style: "name" },
          formatNumber(edge.records),
          Object.entries(found.properties)
            .filter(([, value]) => value !== null)
            .map(([name, value]) => `${name} ${valueText(value)}`)
            .join(", "),
        ];
      }),
      { paint, width: terminal.columns },
    );
    return `${table}${paint("faint", `${countOf(answer.neighbours.length, "neighbour")}, as of entry ${answer.checkpoint}`)}\n`;
  });
}

async function showPaths(
  session: Session,
  [from, to]: readonly [string, string],
  options: PathArguments,
): Promise<void> {
  const { custody, scope, show, paint, atLeast } = session;
  const answer = await custody.graph.paths(scope, {
    from: parseNode(from),
    to: parseNode(to),
    direction: oneOf(options.direction, ["out", "both"], "direction"),
    depthMax: options.depth ?? DEPTH_DEFAULT,
    limit: options.limit ?? PATHS_DEFAULT,
    ...given({
      types: options.edge,
      only: options.shortest === true ? ("shortest" as const) : undefined,
    }),
    ...atLeast,
  });
  await show(answer, () => {
    if (answer.paths.length === 0) return "there is no such path\n";
    const paths = answer.paths.map((path) => `${pathText(path, session)}\n`).join("\n");
    return `${paths}${paint("faint", `${countOf(answer.paths.length, "path")}, as of entry ${answer.checkpoint}`)}\n`;
  });
}

function pathText(path: PathAnswer["paths"][number], { paint }: Session): string {
  const name = (node: NodeRef): string => paint("name", visibleText(nodeText(node)));
  const steps = path.edges.map((edge, index) => {
    const next = path.nodes[index + 1];
    return `  ${paint("faint", arrow(edge, next))} ${next === undefined ? "" : name(next)}`;
  });
  const first = path.nodes[0];
  return [first === undefined ? "" : name(first), ...steps].join("\n");
}

function arrow(edge: GraphEdgeView, next: NodeRef | undefined): string {
  const isForward = edge.to.id === next?.id && edge.to.label === next.label;
  const type = visibleText(edge.type);
  return isForward ? `──${type}─▶` : `◀─${type}──`;
}

async function runCypher(
  session: Session,
  argument: string,
  options: CypherArguments,
): Promise<void> {
  const { custody, scope, show, paint, terminal, atLeast } = session;
  const parameters: [string, Cell][] = [];
  for (const [name, json] of (options.param ?? []).map(parseAssignment)) {
    parameters.push([name, await readJson("--param", json, terminal.directory)]);
  }
  const request = {
    statement: await statementOf(argument, session),
    parameters: Object.fromEntries(parameters),
    rowsMax: options.limit ?? ROWS_DEFAULT,
    timeMs: options.time ?? TIME_MS,
    ...atLeast,
  };
  if (options.explain === true) {
    return showPlan(session, custody.explain.graph(scope, request));
  }
  const answer = await custody.graph.query(scope, request);
  await show(answer, () => {
    const table = renderTable(
      answer.columns.map((title, index) => ({
        title,
        align: isNumeric(answer.rows.map((row) => row[index])) ? "right" : "left",
      })),
      answer.rows.map((row) => row.map(valueText)),
      { paint, width: terminal.columns },
    );
    const more = answer.isTruncated ? "; there are more: raise --limit" : "";
    return `${table}${paint("faint", `${countOf(answer.rows.length, "row")}, as of entry ${answer.checkpoint}${more}`)}\n`;
  });
}
