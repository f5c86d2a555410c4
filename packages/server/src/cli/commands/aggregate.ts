import type { AggregateQuery } from "@custody/stores/analytics/port";
import type { Command } from "commander";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readText } from "node:stream/consumers";

import { given } from "../given.ts";
import type { Paint } from "../output/paint.ts";
import { countOf, formatInstant, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { columnOf, renderRows } from "../output/rows.ts";
import { valueText } from "../output/value-text.ts";
import { aboutType, withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { filterOf } from "../values/filter-argument.ts";
import type { FilterOptions } from "../values/filter-argument.ts";
import { parseGroup, parseMeasure } from "../values/measure-argument.ts";
import { collect, collectNames, parseCount, parseOrder } from "../values/numbers-and-names.ts";
import { parseDuration } from "../values/time.ts";
import { EXPLAIN, showPlan } from "./plan.ts";

interface RowArguments extends FilterOptions {
  readonly sort?: readonly string[];
  readonly limit?: number;
  readonly explain?: boolean;
}

interface AggregateArguments extends RowArguments {
  readonly groupBy?: readonly string[];
  readonly measure?: readonly string[];
}

interface TableArguments extends RowArguments {
  readonly cursor?: string;
}

interface SqlArguments {
  readonly limit?: number;
  readonly explain?: boolean;
  readonly time?: number;
}

/** Registers `aggregate`, `table` and `sql`. */
export function addAnalysisCommands(program: Command, context: CommandContext): void {
  program
    .command("aggregate <type>")
    .summary("group records and compute measures")
    .description("Groups the rows of a type's analytics table and computes measures.")
    .option("--group-by <columns>", "columns; column:1d cuts an instant into days", collectNames)
    .option(
      "--measure <name=fn[:column]>",
      "n=count, slow=p95:latency_ms; may be repeated",
      collect,
    )
    .option("--filter <json|@file>", "a filter over column names")
    .option("--where <column=value>", "a condition; also != < <= > >=; may be repeated", collect)
    .option("--sort <name[:desc]>", "a measure or group", collectNames)
    .option("--limit <n>", "groups at most (100)", parseCount)
    .option(...EXPLAIN)
    .action((type: string, options: AggregateArguments, command: Command) =>
      withSession(context, command, (session) =>
        aboutType(session, type, () => aggregate(session, type, options)),
      ),
    );

  program
    .command("table <name>")
    .summary("show rows of a summary or a relational table")
    .description(
      "Shows rows of a summary, such as redteam/session_summaries, or of a type's relational table.",
    )
    .option("--filter <json|@file>", "a filter over column names")
    .option("--where <column=value>", "a condition; also != < <= > >=; may be repeated", collect)
    .option("--sort <column[:desc]>", "may be repeated or separated by commas", collectNames)
    .option("--limit <n>", "rows at most (100)", parseCount)
    .option("--cursor <cursor>", "go on where a page ended")
    .option(...EXPLAIN)
    .action((name: string, options: TableArguments, command: Command) =>
      withSession(context, command, (session) => showTable(session, name, options)),
    );

  program
    .command("sql <statement>")
    .summary("run one SELECT over every type's table")
    .description(
      'Runs one SELECT in a process of its own that reaches no file and no network. Tables are named pack.type: SELECT count(*) FROM redteam.session_evidence. "@file" reads it from a file, "-" from standard input.',
    )
    .option("--limit <n>", "rows at most (1,000)", parseCount)
    .option("--time <duration>", "time it may take (30s)", parseDuration)
    .option(...EXPLAIN)
    .action((statement: string, options: SqlArguments, command: Command) =>
      withSession(context, command, (session) => runSql(session, statement, options)),
    );
}

const ROWS_DEFAULT = 100;
const SQL_ROWS_DEFAULT = 1_000;
const SQL_TIME_MS = 30_000;

async function aggregate(
  session: Session,
  type: string,
  options: AggregateArguments,
): Promise<void> {
  const { custody, scope, terminal, show, atLeast } = session;
  const measures = Object.fromEntries((options.measure ?? ["count=count"]).map(parseMeasure));
  const groupBy = (options.groupBy ?? []).map(parseGroup);
  const query: Omit<AggregateQuery, "filter"> = {
    groupBy,
    measures,
    limit: options.limit ?? ROWS_DEFAULT,
    ...given({ orderBy: options.sort?.map(parseOrder) }),
  };
  const filter = await filterOf(options, terminal.directory);
  const question = { ...query, ...given({ filter }), ...atLeast };
  if (options.explain === true) {
    return showPlan(session, custody.explain.aggregate(scope, type, question));
  }
  const answer = await custody.aggregate(scope, type, question);
  const instants = new Set(
    groupBy.filter((group) => typeof group !== "string").map((group) => group.column),
  );
  const firstMeasure = Object.keys(measures)[0];
  await show(answer, () => {
    const rows = answer.rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [
          name,
          instants.has(name) && typeof value === "number" ? formatInstant(value) : value,
        ]),
      ),
    );
    const bars = groupBy.length > 0 && firstMeasure !== undefined ? { bars: firstMeasure } : {};
    return renderRows(rows, { ...pageOf(session), checkpoint: answer.checkpoint, ...bars });
  });
}

async function showTable(session: Session, name: string, options: TableArguments): Promise<void> {
  const { custody, scope, terminal, show, atLeast } = session;
  const orderBy = options.sort
    ?.map(parseOrder)
    .map(({ name: column, direction }) => ({ column, direction }));
  const question = {
    limit: options.limit ?? ROWS_DEFAULT,
    ...given({
      filter: await filterOf(options, terminal.directory),
      orderBy,
      cursor: options.cursor,
    }),
    ...atLeast,
  };
  if (options.explain === true) {
    return showPlan(session, custody.explain.table(scope, name, question));
  }
  const page = await custody.table(scope, name, question);
  await show(page, () => renderRows(page.rows, { ...pageOf(session), ...page }));
}

async function runSql(session: Session, given_: string, options: SqlArguments): Promise<void> {
  const { custody, scope, terminal, show, paint, atLeast } = session;
  const statement = await statementOf(given_, session);
  const startedAt = terminal.clock();
  const bounds = {
    rowsMax: options.limit ?? SQL_ROWS_DEFAULT,
    timeMs: options.time ?? SQL_TIME_MS,
    ...atLeast,
  };
  if (options.explain === true) {
    return showPlan(session, custody.explain.sql(scope, statement, bounds));
  }
  const answer = await custody.sql(scope, statement, bounds);
  await show(answer, () => {
    const table = renderTable(
      answer.columns.map(({ name }, index) =>
        columnOf(
          name,
          answer.rows.map((row) => row[index]),
        ),
      ),
      answer.rows.map((row) => row.map(valueText)),
      { paint, width: terminal.columns },
    );
    const more = answer.isTruncated ? "; there are more: raise --limit" : "";
    const tookMs = formatNumber(terminal.clock() - startedAt);
    return `${table}${paint("faint", `${countOf(answer.rows.length, "row")} in ${tookMs} ms${more}`)}\n`;
  });
}

/** The text itself, what a file holds (`@file`), or what comes in (`-`): for SQL and Cypher. */
export async function statementOf(argument: string, { terminal }: Session): Promise<string> {
  if (argument === "-") return readText(terminal.input());
  if (!argument.startsWith("@")) return argument;
  return readFile(resolve(terminal.directory, argument.slice(1)), "utf8");
}

function pageOf({ paint, terminal }: Session): { readonly paint: Paint; readonly width: number } {
  return { paint, width: terminal.columns };
}
