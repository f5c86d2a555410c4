import type {
  SeriesAnswer,
  SeriesFunction,
  SeriesQuery,
  SeriesRow,
} from "@custody/stores/series/port";
import type { Command } from "commander";

import { given } from "../given.ts";
import { sparkline } from "../output/chart.ts";
import { countOf, formatInstant, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { aboutType, withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { oneOf, SERIES_FUNCTIONS } from "../values/measure-argument.ts";
import { collect, collectNames, parseAssignment } from "../values/numbers-and-names.ts";
import { parseDuration, parseInstant } from "../values/time.ts";
import { usageError } from "../command-error.ts";
import { EXPLAIN, showPlan } from "./plan.ts";

type Fill = NonNullable<SeriesQuery["fill"]>;

interface SeriesArguments {
  readonly explain?: boolean;
  readonly field: readonly string[];
  readonly fn: string;
  readonly bucket?: number;
  readonly from?: string;
  readonly to?: string;
  readonly groupBy?: readonly string[];
  readonly where?: readonly string[];
  readonly fill: string;
}

const FILLS: readonly Fill[] = ["none", "null", "zero", "previous", "linear"];

/** Registers `series`. */
export function addSeriesCommand(program: Command, context: CommandContext): void {
  program
    .command("series <type> <measurement>")
    .summary("show numbers over time")
    .description(
      "Shows numbers over time in buckets. Without --from and --to: from the first record to the last; without --bucket: about forty buckets.",
    )
    .requiredOption(
      "--field <names>",
      "fields of the measurement, separated by commas",
      collectNames,
    )
    .option("--fn <function>", SERIES_FUNCTIONS.join(", "), "mean")
    .option("--bucket <duration>", "width of a bucket: 15m, 1h, 7d", parseDuration)
    .option("--from <instant>", "RFC 3339, a day, or a time ago such as -7d")
    .option("--to <instant>", "the first instant that no longer counts")
    .option("--group-by <tags>", "one line for each value of these tags", collectNames)
    .option("--where <tag=value>", "only points with this tag; may be repeated", collect)
    .option(...EXPLAIN)
    .option("--fill <how>", `what stands in empty buckets: ${FILLS.join(", ")}`, "none")
    .action((type: string, measurement: string, options: SeriesArguments, command: Command) =>
      withSession(context, command, (session) =>
        aboutType(session, type, () => showSeries(session, type, measurement, options)),
      ),
    );
}

async function showSeries(
  session: Session,
  type: string,
  measurement: string,
  options: SeriesArguments,
): Promise<void> {
  const { custody, scope, atLeast, show } = session;
  const fn = oneOf(options.fn, SERIES_FUNCTIONS, "function");
  const fill = oneOf(options.fill, FILLS, "way to fill");
  const span = await spanOf(session, type, options);
  if (span === undefined) {
    return show({ rows: [], checkpoint: 0 }, () => "there is no record with an instant\n");
  }
  const query: SeriesQuery = {
    measurement,
    ...span,
    values: namedValues(options.field, fn),
    fill,
    ...given({ groupBy: options.groupBy, where: whereOf(options.where) }),
  };
  const question = { ...query, ...atLeast };
  if (options.explain === true) {
    return showPlan(session, custody.explain.series(scope, type, question));
  }
  const answer = await custody.series(scope, type, question);
  await show({ ...answer, ...span }, () => renderSeries(session, query, answer));
}

function namedValues(fields: readonly string[], fn: SeriesFunction): SeriesQuery["values"] {
  return Object.fromEntries(fields.map((field) => [`${fn}_${field}`, { field, fn }]));
}

function whereOf(conditions: readonly string[] | undefined): SeriesQuery["where"] {
  if (conditions === undefined) return undefined;
  const values = new Map<string, string[]>();
  for (const [tag, value] of conditions.map(parseAssignment)) {
    values.set(tag, [...(values.get(tag) ?? []), value]);
  }
  return Object.fromEntries(values);
}

const DAY_MS = 86_400_000;
const NICE_BUCKETS_MS = [
  1_000,
  10_000,
  60_000,
  300_000,
  900_000,
  3_600_000,
  21_600_000,
  DAY_MS,
  7 * DAY_MS,
  28 * DAY_MS,
  364 * DAY_MS,
];
const BUCKETS_WANTED = 40;

type Span = Pick<SeriesQuery, "from" | "to" | "bucketMs">;

async function spanOf(
  session: Session,
  type: string,
  options: SeriesArguments,
): Promise<Span | undefined> {
  const now = session.terminal.clock();
  const asked = {
    from: options.from === undefined ? undefined : parseInstant(options.from, now),
    to: options.to === undefined ? undefined : parseInstant(options.to, now),
  };
  const isWhole = asked.from !== undefined && asked.to !== undefined;
  const known = isWhole ? undefined : await observedSpan(session, type);
  const from = asked.from ?? known?.first;
  const to = asked.to ?? (known === undefined ? undefined : known.last + 1);
  if (from === undefined || to === undefined) return undefined;
  if (to <= from) throw usageError("--to must come after --from");
  const bucketMs =
    options.bucket ??
    NICE_BUCKETS_MS.find((width) => (to - from) / width <= BUCKETS_WANTED) ??
    364 * DAY_MS;
  return { from, to, bucketMs };
}

/** The first and the last instant of the type's records, from its analytics table. */
async function observedSpan(
  { custody, scope, atLeast }: Session,
  type: string,
): Promise<{ readonly first: number; readonly last: number } | undefined> {
  const { rows } = await custody.aggregate(scope, type, {
    groupBy: [],
    measures: {
      first: { fn: "min", column: "_observed_at" },
      last: { fn: "max", column: "_observed_at" },
    },
    limit: 1,
    ...atLeast,
  });
  const { first, last } = rows[0] ?? {};
  return typeof first === "number" && typeof last === "number" ? { first, last } : undefined;
}

function renderSeries(session: Session, query: SeriesQuery, answer: SeriesAnswer): string {
  const { paint, terminal } = session;
  if (answer.rows.length === 0) return "there is no point in that time\n";
  const tags = query.groupBy ?? [];
  const names = Object.keys(query.values);
  const chart = renderTable(
    [
      ...tags.map((title) => ({ title })),
      { title: "value" },
      { title: "over time" },
      { title: "least", align: "right" },
      { title: "most", align: "right" },
    ],
    [...groupRows(answer.rows)].flatMap(([, rows]) =>
      names.map((name) => {
        const values = spread(rows, query, name);
        const numbers = values.filter((value) => value !== null);
        return [
          ...tags.map((tag) => ({ text: rows[0]?.tags[tag] ?? "(none)", style: "name" as const })),
          name,
          sparkline(values, CHART_WIDTH),
          formatNumber(numbers.reduce((a, b) => Math.min(a, b), Infinity)),
          formatNumber(numbers.reduce((a, b) => Math.max(a, b), -Infinity)),
        ];
      }),
    ),
    { paint, width: terminal.columns },
  );
  const table = renderTable(
    [
      { title: "bucket" },
      ...tags.map((title) => ({ title })),
      ...names.map((title) => ({ title, align: "right" as const })),
    ],
    answer.rows.map((row) => [
      { text: formatInstant(row.bucketAt), style: "faint" },
      ...tags.map((tag) => row.tags[tag] ?? "(none)"),
      ...names.map((name) => numberText(row.values[name])),
    ]),
    { paint, width: terminal.columns },
  );
  const head = `${query.measurement}, ${formatInstant(query.from)} to ${formatInstant(query.to)}`;
  return `${paint("title", visibleText(head))}\n${chart}\n${table}${paint("faint", `${countOf(answer.rows.length, "row")}, as of entry ${answer.checkpoint}`)}\n`;
}

const CHART_WIDTH = 48;

function numberText(value: number | null | undefined): string {
  return value === null || value === undefined ? "" : formatNumber(value);
}

function groupRows(rows: readonly SeriesRow[]): ReadonlyMap<string, readonly SeriesRow[]> {
  return Map.groupBy(rows, (row) => JSON.stringify(row.tags));
}

/** One value a bucket from the first to the last, `null` where there is none. */
function spread(
  rows: readonly SeriesRow[],
  query: SeriesQuery,
  name: string,
): readonly (number | null)[] {
  const first = Math.floor(query.from / query.bucketMs);
  const count = Math.min(Math.ceil(query.to / query.bucketMs) - first, 100_000);
  const values = Array.from({ length: count }, (): number | null => null);
  for (const row of rows) {
    const index = Math.floor(row.bucketAt / query.bucketMs) - first;
    if (index >= 0 && index < count) values[index] = row.values[name] ?? null;
  }
  return values;
}
