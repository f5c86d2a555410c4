import { bar } from "./chart.ts";
import type { Paint } from "./paint.ts";
import { countOf, formatNumber } from "./quantity.ts";
import { renderTable } from "./table.ts";
import type { TableCell, TableColumn } from "./table.ts";
import { isNumeric, valueText } from "./value-text.ts";
import { visibleText } from "./visible-text.ts";

type Row = Readonly<Record<string, unknown>>;
type Counts = Readonly<Record<string, number>>;

interface RowOptions {
  readonly paint: Paint;
  readonly width: number;
  readonly checkpoint: number;
  readonly cursor?: string;
  /** The column that is also drawn as a bar. */
  readonly bars?: string;
}

const BAR_WIDTH = 24;

/** Renders rows of an aggregate or a table; tables of counts in a cell come below the row. */
export function renderRows(rows: readonly Row[], options: RowOptions): string {
  if (rows.length === 0) return "there is no row\n";
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const isCounts = (name: string): boolean => rows.every((row) => isCountTable(row[name]));
  const countNames = names.filter(isCounts);
  const plainNames = names.filter((name) => !countNames.includes(name));
  const text =
    countNames.length === 0
      ? plainTable(plainNames, rows, options)
      : rows
          .map(
            (row) =>
              `${plainTable(plainNames, [row], options)}${countTables(row, countNames, options)}`,
          )
          .join("\n");
  const more =
    options.cursor === undefined ? "" : `\nthere are more: go on with --cursor ${options.cursor}`;
  const foot = `${countOf(rows.length, "row")}, as of entry ${options.checkpoint}${more}`;
  return `${text}${options.paint("faint", foot)}\n`;
}

/** A column's title, to the right where its values are numbers. */
export function columnOf(title: string, values: readonly unknown[]): TableColumn {
  return { title, align: isNumeric(values) ? "right" : "left" };
}

function plainTable(names: readonly string[], rows: readonly Row[], options: RowOptions): string {
  const { bars, paint, width } = options;
  const lengths = bars === undefined ? [] : rows.map((row) => Number(row[bars] ?? 0));
  const largest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const columns = names.map((name) =>
    columnOf(
      name,
      rows.map((row) => row[name]),
    ),
  );
  return renderTable(
    bars === undefined ? columns : [...columns, { title: "" }],
    rows.map((row, index): TableCell[] => {
      const cells = names.map((name) => valueText(row[name]));
      return bars === undefined ? cells : [...cells, bar(lengths[index] ?? 0, largest, BAR_WIDTH)];
    }),
    { paint, width },
  );
}

/** The tables of counts of one row; hits and tests of the same kind come together, with their rate. */
function countTables(row: Row, names: readonly string[], options: RowOptions): string {
  const rated = names.filter(
    (name) => name.startsWith("hits_by_") && names.includes(testsOf(name)),
  );
  const alone = names.filter(
    (name) => !rated.some((hits) => hits === name || testsOf(hits) === name),
  );
  return [
    ...rated.map((name) => rateTable(row, name, options)),
    ...alone.map((name) => countTable(name, countsOf(row[name]), options)),
  ].join("");
}

function testsOf(hits: string): string {
  return hits.replace(/^hits_by_/, "tests_by_");
}

function rateTable(row: Row, name: string, { paint, width }: RowOptions): string {
  const hits = countsOf(row[name]);
  const tests = countsOf(row[testsOf(name)]);
  const rates = Object.entries(tests)
    .map(([key, tested]) => ({ key, tested, hit: hits[key] ?? 0, rate: (hits[key] ?? 0) / tested }))
    .sort((a, b) => b.rate - a.rate || (a.key < b.key ? -1 : 1));
  const titles: readonly TableColumn[] = [
    { title: name.replace(/^hits_by_/, "") },
    { title: "hits", align: "right" },
    { title: "tests", align: "right" },
    { title: "rate", align: "right" },
    { title: "" },
  ];
  const cells = rates.map(({ key, tested, hit, rate }): TableCell[] => [
    key,
    formatNumber(hit),
    formatNumber(tested),
    `${(rate * 100).toFixed(1)} %`,
    bar(rate, 1, BAR_WIDTH),
  ]);
  return cells.length === 0 ? "" : `\n${renderTable(titles, cells, { paint, width, indent: 4 })}`;
}

function countTable(name: string, counts: Counts, { paint, width }: RowOptions): string {
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  if (entries.length === 0) return "";
  const largest = entries[0]?.[1] ?? 0;
  const cells = entries.map(([key, count]): TableCell[] => [
    key,
    formatNumber(count),
    bar(count, largest, BAR_WIDTH),
  ]);
  const titles: readonly TableColumn[] = [
    { title: visibleText(name) },
    { title: "count", align: "right" },
    { title: "" },
  ];
  return `\n${renderTable(titles, cells, { paint, width, indent: 4 })}`;
}

function isCountTable(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((count) => typeof count === "number")
  );
}

function countsOf(value: unknown): Counts {
  return value as Counts;
}
