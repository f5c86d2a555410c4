import type { RoleStatus, TenantStatus, TypeInfo } from "@custody/core/reports";
import type { Command } from "commander";

import type { Style } from "../output/paint.ts";
import { countOf, formatBytes, formatInstant, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { refuseUnknownType, withSession } from "../session.ts";
import type { CommandContext, Outcome, Session } from "../session.ts";

/** Registers `status` and `types`. */
export function addStatusCommands(program: Command, context: CommandContext): void {
  program
    .command("status")
    .summary("show what each store holds and how far it has read")
    .description(
      "Shows what each store holds, how far it has read the journal, and what is encrypted.",
    )
    .option("--check", "exit with 1 when a store has failed or waits, or refused a record")
    .action((options: { readonly check?: boolean }, command: Command) =>
      withSession(context, command, (session) => showStatus(session, options.check ?? false)),
    );

  program
    .command("types [type]")
    .summary("list the record types, or show one")
    .description(
      "Lists the record types with the stores each is held in, or shows one with its fields.",
    )
    .action((type: string | undefined, _options, command: Command) =>
      withSession(context, command, (session) => showTypes(session, type)),
    );
}

const CONDITIONS: Readonly<Record<RoleStatus["condition"], readonly [text: string, style: Style]>> =
  {
    ok: ["up to date", "good"],
    lagging: ["behind", "warning"],
    waiting: ["waiting", "warning"],
    failed: ["failed", "bad"],
    closed: ["not opened", "faint"],
  };

async function showStatus(session: Session, isCheck: boolean): Promise<Outcome> {
  const { custody, scope, show } = session;
  const status = await custody.status(scope);
  const { timeline, entries, head, roles, disks, breakers } = status;
  const journal = { timeline: timeline ?? null, entries, head: head ?? null, disks, breakers };
  const relational = { ...roles.relational, journal };
  await show({ ...roles, relational }, () => renderStatus(session, status));
  const isFine = troubles(status).length === 0;
  return isCheck && !isFine ? "found-wrong" : "done";
}

function renderStatus({ paint, terminal, settings }: Session, status: TenantStatus): string {
  const rows = Object.entries(status.roles).map(([role, one]) => {
    const [text, style] = CONDITIONS[one.condition];
    return [
      { text: role, style: "name" as const },
      one.product,
      formatNumber(one.records),
      formatBytes(one.bytes),
      { text: one.lag === 0 ? text : `${text}, ${countOf(one.lag, "entry", "entries")}`, style },
      // The first words say what; --json has the whole sentence.
      { text: one.encrypted.split(/[:;]/)[0] ?? "", style: "faint" as const },
    ];
  });
  const table = renderTable(
    [
      { title: "role" },
      { title: "engine" },
      { title: "records", align: "right" },
      { title: "on disk", align: "right" },
      { title: "state" },
      { title: "encrypted at rest" },
    ],
    rows,
    { paint, width: terminal.columns },
  );
  const head = status.head === undefined ? "" : `, head ${status.head.slice(0, 16)}…`;
  const journal = `journal of ${status.tenant}: ${countOf(status.entries, "entry", "entries")}${head}`;
  return [
    paint("title", journal),
    paint("faint", `data directory ${visibleText(settings.dataDirectory)}${freeOf(status)}`),
    table,
    ...troubles(status).map((line) => `${paint("warning", line)}\n`),
  ].join("\n");
}

/** What is free on the fullest of the disks. */
function freeOf({ disks }: TenantStatus): string {
  if (disks.length === 0) return "";
  const free = Math.min(...disks.map(({ freeBytes }) => freeBytes));
  return `, ${formatBytes(free)} free`;
}

/** One line for each store and each projection that is not what it should be. */
function troubles({ roles, disks, breakers }: TenantStatus): readonly string[] {
  const low = disks
    .filter(({ isLow }) => isLow)
    .map(({ place, freeBytes, neededBytes }) =>
      visibleText(
        `writes are refused: ${formatBytes(freeBytes)} are free at ${place}, and ${formatBytes(neededBytes)} must be; reads go on`,
      ),
    );
  const unasked = breakers.map(({ store, since, retryAt, reason }) =>
    visibleText(
      `${store} has not answered since ${formatInstant(since)} and is asked again at ${formatInstant(retryAt)}: ${reason}`,
    ),
  );
  const stores = Object.entries(roles).flatMap(([role, { condition, reason }]) =>
    reason === undefined ? [] : [visibleText(`${role} is ${condition}: ${reason}`)],
  );
  const projected = Object.entries(roles).flatMap(([role, { projections }]) =>
    projections.flatMap(({ name, condition, reason, quarantined }) => {
      const lines: string[] = [];
      if (condition === "failed" || condition === "waiting") {
        lines.push(visibleText(`${role} ${name} is ${condition}: ${reason ?? "no reason given"}`));
      }
      if (quarantined > 0) {
        lines.push(
          `${role} ${visibleText(name)}: ${countOf(quarantined, "record")} in quarantine, see \`custody quarantine list\``,
        );
      }
      return lines;
    }),
  );
  return [...low, ...unasked, ...stores, ...projected];
}

async function showTypes(session: Session, name: string | undefined): Promise<void> {
  const { custody, scope, show } = session;
  const types = await custody.types(scope);
  if (name === undefined) return show(types, () => renderTypes(session, types));
  const type = types.find((one) => one.name === name);
  if (type === undefined) return refuseUnknownType(session, name);
  await show(type, () => renderType(session, type));
}

function renderTypes({ paint, terminal }: Session, types: readonly TypeInfo[]): string {
  return renderTable(
    [
      { title: "type" },
      { title: "records", align: "right" },
      { title: "mode" },
      { title: "held in" },
      { title: "what it is" },
    ],
    types.map((type) => [
      { text: type.name, style: "name" },
      formatNumber(type.records),
      type.mode,
      type.roles.join(" "),
      { text: type.title, style: "faint" },
    ]),
    { paint, width: terminal.columns, indent: 0 },
  );
}

function renderType({ paint, terminal }: Session, type: TypeInfo): string {
  const facts = renderTable(
    [{ title: "" }, { title: "" }],
    [
      ["records", formatNumber(type.records)],
      ["mode", type.mode],
      ["scope", type.scope],
      ["id", type.id],
      ["held in", type.roles.join(", ")],
      ["fields", type.fields.join(", ")],
    ],
    { paint, width: terminal.columns, isBare: true },
  );
  return `${paint("title", `${type.name} version ${type.version}`)}\n${visibleText(type.title)}\n${facts}`;
}
