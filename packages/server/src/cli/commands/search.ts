import type { SearchAnswer, SearchOptions } from "@custody/core/custody";
import type { Command } from "commander";

import { given } from "../given.ts";
import { bar } from "../output/chart.ts";
import { countOf, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { recordJson } from "../record-json.ts";
import { aboutType, withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { filterOf } from "../values/filter-argument.ts";
import type { FilterOptions } from "../values/filter-argument.ts";
import { collect, collectNames, parseCount } from "../values/numbers-and-names.ts";
import { EXPLAIN, showPlan } from "./plan.ts";

interface SearchArguments extends FilterOptions {
  readonly facet?: readonly string[];
  readonly limit?: number;
  readonly explain?: boolean;
  readonly cursor?: string;
}

/** Registers `search`. */
export function addSearchCommand(program: Command, context: CommandContext): void {
  program
    .command("search <type> <query>")
    .summary("find records by the words in their texts")
    .description(
      'Finds records by their words: `ignore previous`, `"exact phrase"`, `field:word`, `word*`, AND, OR, NOT. Hits are marked «so».',
    )
    .option("--facet <name>", "count the hits by this value; may be repeated", collectNames)
    .option("--filter <json|@file>", "narrow by the type's search filters")
    .option("--where <name=value>", "narrow by one of them; may be repeated", collect)
    .option("--limit <n>", "hits at most (10)", parseCount)
    .option("--cursor <cursor>", "go on where a page ended")
    .option(...EXPLAIN)
    .action((type: string, query: string, options: SearchArguments, command: Command) =>
      withSession(context, command, (session) => searchRecords(session, type, query, options)),
    );
}

const DEFAULT_LIMIT = 10;

async function searchRecords(
  session: Session,
  type: string,
  query: string,
  options: SearchArguments,
): Promise<void> {
  const { custody, scope, terminal, atLeast, show } = session;
  const request: SearchOptions = {
    query,
    limit: options.limit ?? DEFAULT_LIMIT,
    ...given({
      filter: await filterOf(options, terminal.directory),
      facets: options.facet,
      cursor: options.cursor,
    }),
    ...atLeast,
  };
  if (options.explain === true) {
    return showPlan(session, custody.explain.search(scope, type, request));
  }
  const answer = await aboutType(session, type, () => custody.search(scope, type, request));
  const hits = answer.hits.map((hit) => ({
    _score: hit.score,
    _highlights: hit.highlights,
    ...recordJson(hit),
  }));
  await show({ ...answer, hits }, () => renderHits(session, answer));
}

function renderHits({ paint, terminal }: Session, answer: SearchAnswer): string {
  if (answer.total === 0) return "nothing was found\n";
  const lines = answer.hits.flatMap((hit) => [
    `${paint("name", visibleText(hit.id))}  ${paint("faint", `score ${hit.score.toFixed(2)}`)}`,
    ...Object.entries(hit.highlights).map(
      ([field, text]) => `  ${paint("faint", `${visibleText(field)}:`)} ${marked(text)}`,
    ),
    "",
  ]);
  const marked_ = lines.join("\n");
  const shown = `${formatNumber(answer.hits.length)} of ${countOf(answer.total, "hit")}, as of entry ${answer.checkpoint}`;
  const more =
    answer.cursor === undefined ? "" : `\nthere are more: go on with --cursor ${answer.cursor}`;
  const facets = Object.entries(answer.facets).map(([name, counts]) => {
    const largest = counts[0]?.count ?? 0;
    const table = renderTable(
      [{ title: name }, { title: "hits", align: "right" }, { title: "" }],
      counts.map(({ value, count }) => [value, formatNumber(count), bar(count, largest, 20)]),
      { paint, width: terminal.columns },
    );
    return `\n${table}`;
  });
  return `${marked_}\n${paint("faint", `${shown}${more}`)}\n${facets.join("")}`;

  function marked(text: string): string {
    return visibleText(text).replaceAll(/«([^»]*)»/g, (whole, hit: string) => {
      const painted = paint("hit", hit);
      return painted === hit ? whole : painted;
    });
  }
}
