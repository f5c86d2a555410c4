import { sparkline } from "../cli/output/chart.ts";
import { formatInstant } from "../cli/output/quantity.ts";
import { numbers } from "./narrator.ts";
import type { Question } from "./questions.ts";

type Counts = Readonly<Record<string, number>>;

const [OLD, NEW] = ["function helpdesk#release_1", "function helpdesk#release_2"];

export const relationalQuestion: Question = {
  role: "relational",
  text: "What did the second release mend? Attack success rate by detector, from the session summaries:",
  ask: async ({ custody, scope, narrator }) => {
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
        (row) => row["model"] === model && Number(row["attempts"]) > 200,
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
        const isWorse = is > was;
        return [
          name,
          percent(was),
          percent(is),
          { text: isWorse ? "newly broken" : "mended", style: isWorse ? "bad" : "good" },
        ] as const;
      }),
    );
    await narrator.check(
      `${changed.length} of ${detectors.length} detectors changed their mind between the releases`,
      changed.length > 0 && before.size > 0 && after.size > 0,
    );
    return rows;
  },
};

function ratesOf(row: Readonly<Record<string, unknown>> | undefined): ReadonlyMap<string, number> {
  const tests = (row?.["tests_by_detector"] ?? {}) as Counts;
  const hits = (row?.["hits_by_detector"] ?? {}) as Counts;
  return new Map(Object.entries(tests).map(([name, count]) => [name, (hits[name] ?? 0) / count]));
}

function percent(rate: number): string {
  return `${(rate * 100).toFixed(0)} %`;
}

const WEEK_MS = 7 * 86_400_000;
const WIDTH = 60;

export const seriesQuestion: Question = {
  role: "series",
  text: "When was the help desk worked on? Lines added a week, from its git history:",
  ask: async ({ custody, scope, narrator }) => {
    const [from, to] = [Date.UTC(2026, 7, 27), Date.UTC(2026, 9, 29)];
    const answer = await custody.series(scope, "audit/commits", {
      measurement: "commit_frequency",
      from,
      to,
      bucketMs: WEEK_MS,
      values: {
        commits: { field: "commits", fn: "sum" },
        insertions: { field: "insertions", fn: "sum" },
      },
      where: { repository: ["helpdesk"] },
      fill: "zero",
    });
    const line = sparkline(
      answer.rows.map(({ values }) => values["insertions"] ?? 0),
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
