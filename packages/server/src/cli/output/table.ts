import type { Paint, Style } from "./paint.ts";
import { cutText, textWidth, visibleText } from "./visible-text.ts";

/** A cell: its text, which may hold anything, and what it is. */
export type TableCell = string | { readonly text: string; readonly style: Style };

export interface TableColumn {
  readonly title: string;
  readonly align?: "left" | "right";
  /** True for what is copied from the table, such as ids: it is never cut. */
  readonly isWhole?: boolean;
}

export interface TableOptions {
  readonly paint: Paint;
  /** Columns of the terminal; what does not fit is cut. */
  readonly width: number;
  readonly indent?: number;
  /** Leaves the titles out. */
  readonly isBare?: boolean;
}

// Two columns between cells; a column is not cut below eight columns, or nothing could be read.
const GAP = 2;
const CELL_WIDTH_MIN = 8;

/** Renders rows as an aligned table, one line a row, each with its line end. */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly TableCell[])[],
  options: TableOptions,
): string {
  const { paint, indent = 2 } = options;
  const cells = rows.map((row) => columns.map((_, index) => clean(row[index] ?? "")));
  const titles = columns.map(({ title }) => ({ text: title, style: "faint" as const }));
  const all = options.isBare === true ? cells : [titles, ...cells];
  const wanted = columns.map((_, index) =>
    all.reduce((width, row) => Math.max(width, textWidth(row[index]?.text ?? "")), 0),
  );
  const widths = fit(wanted, columns, options.width - indent - GAP * (columns.length - 1));
  const line = (row: readonly { readonly text: string; readonly style: Style }[]): string => {
    const parts = row.map(({ text, style }, index) => {
      const width = widths[index] ?? 0;
      const cut = cutText(text, width);
      const padding = " ".repeat(width - textWidth(cut));
      const painted = paint(style, cut);
      if (columns[index]?.align === "right") return `${padding}${painted}`;
      return index === row.length - 1 ? painted : `${painted}${padding}`;
    });
    return `${" ".repeat(indent)}${parts.join(" ".repeat(GAP))}`.trimEnd();
  };
  return all.map((row) => `${line(row)}\n`).join("");
}

function clean(cell: TableCell): { readonly text: string; readonly style: Style } {
  if (typeof cell === "string") return { text: visibleText(cell), style: "plain" };
  return { text: visibleText(cell.text), style: cell.style };
}

/** Takes from the widest columns that may be cut until the row fits. */
function fit(
  wanted: readonly number[],
  columns: readonly TableColumn[],
  available: number,
): readonly number[] {
  const widths = [...wanted];
  const open = widths
    .keys()
    .filter((index) => columns[index]?.isWhole !== true)
    .toArray();
  let over = widths.reduce((sum, width) => sum + width, 0) - available;
  while (over > 0) {
    const widest = open.reduce(
      (a, b) => ((widths[b] ?? 0) > (widths[a] ?? 0) ? b : a),
      open[0] ?? -1,
    );
    const width = widths[widest] ?? 0;
    if (width <= CELL_WIDTH_MIN) break;
    const others = open.filter((index) => index !== widest).map((index) => widths[index] ?? 0);
    const second = Math.max(CELL_WIDTH_MIN, ...others);
    const take = Math.min(over, Math.max(1, width - second), width - CELL_WIDTH_MIN);
    widths[widest] = width - take;
    over -= take;
  }
  return widths;
}
