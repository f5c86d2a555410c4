import type { TraceReport } from "@custody/core/reports";

import type { Paint, Style } from "./paint.ts";
import { countOf, formatInstant } from "./quantity.ts";
import { renderTable } from "./table.ts";
import type { TableCell } from "./table.ts";
import { visibleText } from "./visible-text.ts";

interface PageOptions {
  readonly paint: Paint;
  readonly width: number;
}

type Facts = readonly (readonly [name: string, value: TableCell | undefined])[];

/** The page about one record that a user shows others: origin, places, proof. */
export function renderTrace(report: TraceReport, options: PageOptions): string {
  const { paint } = options;
  const title = visibleText(`${report.type} ${report.id}`);
  const state = `version ${report.version}${report.isDeleted ? ", deleted" : ""}`;
  return [
    `${paint("title", title)}  ${paint("faint", state)}`,
    "",
    section("Where it came from", origin(report), options),
    section("Where it lies in the journal", place(report), options),
    stores(report, options),
    section("What proves it", proof(report), options),
  ].join("\n");
}

function section(title: string, facts: Facts, { paint, width }: PageOptions): string {
  const rows = facts.flatMap(([name, value]): TableCell[][] =>
    value === undefined ? [] : [[{ text: name, style: "faint" }, value]],
  );
  const table = renderTable([{ title: "" }, { title: "" }], align(rows), {
    paint,
    width,
    isBare: true,
  });
  return `${paint("title", title)}\n${table}`;
}

const NAME_WIDTH = 12;

/** Pads the names, so that the values of all sections stand in one column. */
function align(rows: readonly TableCell[][]): readonly TableCell[][] {
  return rows.map(([name, value]): TableCell[] => {
    const text = typeof name === "object" ? name.text : (name ?? "");
    return [{ text: text.padEnd(NAME_WIDTH), style: "faint" }, value ?? ""];
  });
}

function origin({ source, entry }: TraceReport): Facts {
  const tool = [entry.tool, entry.importer === undefined ? undefined : `read by ${entry.importer}`];
  const how = tool.filter((part) => part !== undefined).join(", ");
  if (source === undefined)
    return [
      ["written by", entry.actor],
      ["tool", how || undefined],
    ];
  const at = source.place === undefined ? "" : `, ${source.place}`;
  return [
    ["file", { text: `${source.name}${at}`, style: "name" }],
    ["SHA-256", source.sha256],
    ["kept as", source.blob],
    ["tool", how || undefined],
  ];
}

function place({ entry, location }: TraceReport): Facts {
  const where =
    location.kind === "inline"
      ? "in the entry itself, until it is compacted"
      : `segment ${location.segment}, block ${location.block}, line ${location.line}`;
  return [
    ["entry", `${entry.sequence}: ${entry.operation} of ${countOf(entry.records, "record")}`],
    ["committed", `${formatInstant(entry.receivedAt)} by ${entry.actor}`],
    ["commit", entry.commit],
    ["line", where],
    ["file", location.kind === "segment" ? location.blobKey : undefined],
  ];
}

const STATES: Readonly<
  Record<TraceReport["projections"][number]["state"], readonly [mark: string, style: Style]>
> = {
  present: ["●", "good"],
  counted: ["●", "good"],
  empty: ["○", "good"],
  deleted: ["○", "good"],
  behind: ["◌", "warning"],
  quarantined: ["◌", "warning"],
  missing: ["✗", "bad"],
  stale: ["✗", "bad"],
};

function stores({ projections }: TraceReport, { paint, width }: PageOptions): string {
  const table = renderTable(
    [
      { title: "" },
      { title: "store" },
      { title: "projection" },
      { title: "state" },
      { title: "read up to" },
    ],
    projections.map(({ role, name, state, checkpoint }) => {
      const [mark, style] = STATES[state];
      return [
        { text: mark, style },
        role,
        name,
        { text: state, style },
        { text: `entry ${checkpoint}`, style: "faint" },
      ];
    }),
    { paint, width, isBare: true },
  );
  return `${paint("title", "Where it is now")}\n${table}`;
}

function proof({ proof: found, entry, type, id }: TraceReport): Facts {
  const size = countOf(found.treeSize, "entry", "entries");
  if (!found.holds) {
    return [["", { text: `✗ ${found.fault ?? "the proof does not hold"}`, style: "bad" }]];
  }
  return [
    [
      "✓",
      `its line is one of the ${countOf(entry.records, "line")} that entry ${entry.sequence} commits to`,
    ],
    ["✓", `entry ${entry.sequence} is in the signed tree of ${size}`],
    ["entry", entry.hash],
    ["tree root", found.root],
    ["keep it", `custody proof ${type} ${shellWord(id)} -o proof.json`],
  ];
}

function shellWord(text: string): string {
  return /^[\w.:/@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
