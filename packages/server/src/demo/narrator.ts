import { createPaint } from "../cli/output/paint.ts";
import type { Paint } from "../cli/output/paint.ts";
import { renderTable } from "../cli/output/table.ts";
import type { TableCell, TableColumn } from "../cli/output/table.ts";
import type { Terminal } from "../cli/terminal.ts";

/** Tells the story, and keeps count of what was checked on the way. */
export interface Narrator {
  readonly paint: Paint;
  readonly width: number;
  readonly chapter: (title: string) => Promise<void>;
  readonly say: (text: string) => Promise<void>;
  readonly table: (
    columns: readonly (string | TableColumn)[],
    rows: readonly (readonly TableCell[])[],
  ) => Promise<void>;
  /** Says what was found to hold, or not. */
  readonly check: (sentence: string, holds: boolean) => Promise<void>;
  readonly checks: () => { readonly held: number; readonly broken: number };
}

// Wide enough for hashes, narrow enough for the page of a document.
const WIDTH_MAX = 110;

/** Makes a narrator that speaks to a terminal. */
export function createNarrator(terminal: Terminal): Narrator {
  const hasColor = terminal.isInteractive && !terminal.environment["NO_COLOR"];
  const paint = createPaint(hasColor);
  const width = Math.min(WIDTH_MAX, terminal.columns);
  let [held, broken, chapters] = [0, 0, 0];
  return {
    paint,
    width,
    chapter: (title) => {
      chapters += 1;
      return terminal.write(`\n${paint("title", `${chapters}. ${title}`)}\n`);
    },
    say: (text) => terminal.write(`${text}\n`),
    table: (columns, rows) =>
      terminal.write(
        renderTable(
          columns.map((column) => (typeof column === "string" ? { title: column } : column)),
          rows,
          { paint, width, indent: 4 },
        ),
      ),
    check: (sentence, holds) => {
      if (holds) held += 1;
      else broken += 1;
      const mark = holds ? paint("good", "  ✓") : paint("bad", "  ✗ NOT TRUE:");
      return terminal.write(`${mark} ${sentence}\n`);
    },
    checks: () => ({ held, broken }),
  };
}

/** A column of numbers. */
export function numbers(title: string): TableColumn {
  return { title, align: "right" };
}
