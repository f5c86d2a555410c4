import { sparkline } from "../cli/output/chart.ts";
import { formatInstant, formatNumber } from "../cli/output/quantity.ts";
import type { TableCell } from "../cli/output/table.ts";
import type { Demo } from "./import-evidence.ts";
import { numbers } from "./narrator.ts";
import type { Question } from "./questions.ts";

type Row = Readonly<Record<string, unknown>>;
type Counts = Readonly<Record<string, number>>;

// One of the example's runs broke off after six attempts; the others have 255 and more.
const WHOLE_RUN = 200;
const [OLD, NEW] = ["function helpdesk#release_1", "function helpdesk#release_2"];

export const relationalQuestion: Question = {
  role: "relational",
  text: "What did the second release mend? Attack success rate by detector, from the session summaries:",
  ask: async (demo) => {
    const { custody, scope, narrator } = demo;
    const { rows } = await custody.table(scope, "redteam/session_summaries", {
      orderBy: [
        { column: "model", direction: "asc" },
        { column: "session_id", direction: "asc" },
      ],
      limit: 100,
    });
    // Of the runs against one release the one with fewest answers a prompt, so that rates compare.
    const rates = (model: string): ReadonlyMap<string, number> => {
      const sessions = rows.filter(
        (row) => row["model"] === model && Number(row["attempts"]) > WHOLE_RUN,
      );
      return ratesOf(sessions[0]);
    };
    const [before, after] = [rates(OLD), rates(NEW)];
    const detectors = [...new Set([...before.keys(), ...after.keys()])].sort();
    const changed = detectors.filter((name) => before.get(name) !== after.get(name));
    await narrator.table(
      ["detector", numbers("release 1"), numbers("release 2"), ""],
      changed.map((name) => {
        const [was, is] = [before.get(name) ?? 0, after.get(name) ?? 0];
        return [name, percent(was), percent(is), verdict(was, is)] as const;
      }),
    );
    const [evaluated, counted] = await countedTwice(demo, rows);
    await narrator.check(
      `the summaries count ${formatNumber(counted)} hits: so do the tool's own evaluations (${formatNumber(evaluated)})`,
      counted > 0 && counted === evaluated,
    );
    return rows;
  },
};

function ratesOf(row: Row | undefined): ReadonlyMap<string, number> {
  const tests = (row?.["tests_by_detector"] ?? {}) as Counts;
  const hits = (row?.["hits_by_detector"] ?? {}) as Counts;
  return new Map(Object.entries(tests).map(([name, count]) => [name, (hits[name] ?? 0) / count]));
}

function verdict(was: number, is: number): TableCell {
  if (is === 0) return { text: "mended", style: "good" };
  if (was === 0) return { text: "newly broken", style: "bad" };
  return is < was ? { text: "better", style: "good" } : { text: "worse", style: "bad" };
}

/** Hits as the tool's own evaluations add them up, and as the summaries count them. */
async function countedTwice(
  { custody, scope }: Demo,
  rows: readonly Row[],
): Promise<readonly [evaluated: number, counted: number]> {
  const { records } = await custody.find(scope, "redteam/evaluations", { limit: 1_000 });
  const fails = records.map(({ fields }) => Number(fields["fails"] ?? 0));
  const hits = rows.flatMap((row) => Object.values((row["hits_by_detector"] ?? {}) as Counts));
  return [sum(fails), sum(hits)];
}

function sum(numbers_: readonly number[]): number {
  return numbers_.reduce((total, one) => total + one, 0);
}

function percent(rate: number): string {
  return `${(rate * 100).toFixed(0)} %`;
}

const WEEK_MS = 7 * 86_400_000;
const WIDTH = 60;

export const seriesQuestion: Question = {
  role: "series",
  text: "When was the help desk worked on? Commits a week, from its git history:",
  ask: async ({ custody, scope, narrator }) => {
    const [from, to] = [Date.UTC(2026, 7, 27), Date.UTC(2026, 9, 29)];
    const answer = await custody.series(scope, "audit/commits", {
      measurement: "commit_frequency",
      from,
      to,
      bucketMs: WEEK_MS,
      values: { commits: { field: "commits", fn: "sum" } },
      where: { repository: ["helpdesk"] },
      fill: "zero",
    });
    const line = sparkline(
      answer.rows.map(({ values }) => values["commits"] ?? 0),
      WIDTH,
    );
    await narrator.say(
      `    ${formatInstant(from).slice(0, 10)} ${line} ${formatInstant(to).slice(0, 10)}`,
    );
    const commits = answer.rows.reduce((sum, { values }) => sum + (values["commits"] ?? 0), 0);
    await narrator.check(`${commits} commits: the example's history has 9`, commits === 9);
    return answer.rows;
  },
};
