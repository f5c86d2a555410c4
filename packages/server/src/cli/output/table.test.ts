import { expect, test } from "vitest";

import { createPaint } from "./paint.ts";
import { renderTable } from "./table.ts";

const plain = { paint: createPaint(false), width: Infinity };

test("columns are aligned, numbers to the right, and no line ends in blanks", () => {
  expect(
    renderTable(
      [{ title: "name" }, { title: "records", align: "right" }, { title: "note" }],
      [
        ["a", "1", ""],
        ["漢字", "12,345", "x"],
      ],
      plain,
    ),
  ).toBe("  name  records  note\n  a           1\n  漢字   12,345  x\n");
});

test("colours change no width", () => {
  const painted = renderTable(
    [{ title: "a" }, { title: "b" }],
    [[{ text: "x", style: "good" }, "y"]],
    { paint: createPaint(true), width: Infinity, isBare: true },
  );
  expect(painted).toBe("  \u001b[32mx\u001b[39m  y\n");
});

test("what does not fit is cut from the widest column", () => {
  const rows = [["short", "a".repeat(60)]];
  const table = renderTable([{ title: "" }, { title: "" }], rows, {
    ...plain,
    width: 40,
    isBare: true,
  });
  expect(table).toBe(`  short  ${"a".repeat(30)}…\n`);
});

test("a cell cannot break out of its line", () => {
  expect(renderTable([{ title: "a" }], [["x\ny"]], { ...plain, isBare: true })).toBe("  x⏎y\n");
});

test("an id is never cut, whatever the width", () => {
  const columns = [{ title: "", isWhole: true }, { title: "" }];
  const rows = [["01a1fd22-0091-7b53-9258-f29b79aa92c7", "a long value that is cut"]];
  expect(renderTable(columns, rows, { ...plain, width: 50, isBare: true })).toBe(
    "  01a1fd22-0091-7b53-9258-f29b79aa92c7  a long va…\n",
  );
});
