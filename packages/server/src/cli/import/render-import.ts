import type { ImportOutcome } from "../commands/import.ts";
import { countOf, formatBytes, formatDuration, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import type { TableCell } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import type { Session } from "../session.ts";

// More rejected rows than these are found with `custody find custody/rejected_inputs`.
const REJECTIONS_SHOWN = 5;

/** What an import did, for people. */
export function renderImport(
  { paint, terminal }: Session,
  outcome: ImportOutcome,
  end: { readonly isWaited: boolean; readonly tookMs: number },
): string {
  const { imported, skipped, failed } = outcome;
  const rows = imported.flatMap(({ path, report }): TableCell[][] => {
    const types = Object.entries(report.types);
    const note = report.isReplay
      ? "imported before: nothing changed"
      : `${report.format}, ${formatBytes(report.bytes)}`;
    return [
      [
        { text: path, style: "name" },
        { text: note, style: "faint" },
      ],
      ...types.map(([type, { accepted, duplicates, rejected }]): TableCell[] => [
        `  ${type}`,
        "",
        { text: formatNumber(accepted), style: accepted > 0 ? "good" : "faint" },
        { text: formatNumber(duplicates), style: "faint" },
        { text: formatNumber(rejected), style: rejected > 0 ? "warning" : "faint" },
      ]),
    ];
  });
  const table = renderTable(
    [
      { title: "file" },
      { title: "" },
      { title: "accepted", align: "right" },
      { title: "duplicates", align: "right" },
      { title: "rejected", align: "right" },
    ],
    rows,
    { paint, width: terminal.columns, indent: 0 },
  );
  const rejections = imported.flatMap(({ path, report }) =>
    report.rejections
      .slice(0, REJECTIONS_SHOWN)
      .map(({ at, reason }) => `${path}, ${at}: ${reason}`),
  );
  // A single failure is told once, as the command's error.
  const failures = (failed.length > 1 ? failed : []).map(
    ({ path, fault }) => `${path}: ${fault.message}`,
  );
  return [
    imported.length === 0 ? "" : table,
    ...rejections.map((line) => `${paint("warning", "rejected")} ${visibleText(line)}\n`),
    ...failures.map((line) => `${paint("bad", "not imported")} ${visibleText(line)}\n`),
    skipped.length === 0
      ? ""
      : `${paint("faint", `${countOf(skipped.length, "file")} of no known format skipped`)}\n`,
    `${summary(outcome, end)}\n`,
  ].join("");
}

function summary(
  { imported }: ImportOutcome,
  { isWaited, tookMs }: { readonly isWaited: boolean; readonly tookMs: number },
): string {
  const counts = imported.flatMap(({ report }) => Object.values(report.types));
  const accepted = counts.reduce((sum, count) => sum + count.accepted, 0);
  const last = imported.flatMap(({ report }) => report.receipts).at(-1);
  const head = last === undefined ? "" : `, journal at entry ${formatNumber(last.head.size)}`;
  const stores = isWaited ? "; every store has read it" : "; the stores read it later";
  return `${countOf(imported.length, "file")}, ${countOf(accepted, "record")} accepted in ${formatDuration(tookMs)}${head}${imported.length === 0 ? "" : stores}`;
}
