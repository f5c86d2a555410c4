import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";
import type { ReconcileReport } from "@custody/core/reports";
import type { Command } from "commander";

import { usageError } from "../command-error.ts";
import { given } from "../given.ts";
import { progressLine } from "../output/progress.ts";
import { countOf, formatBytes, formatDuration, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Outcome, Session } from "../session.ts";
import { oneOf } from "../values/measure-argument.ts";
import { parseInstant } from "../values/time.ts";

/** Registers `rebuild`, `reconcile` and `compact`. */
export function addMaintenanceCommands(program: Command, context: CommandContext): void {
  const roles = PROJECTED_ROLES.join(", ");
  program
    .command("rebuild [roles...]")
    .summary("empty stores and read the journal into them again")
    .description(`Empties stores and reads the whole journal into them again: ${roles}.`)
    .option("--all", "every store")
    .option("--accept-loss", "go on although a changed type leaves a field out")
    .action((names: readonly string[], options: { readonly all?: boolean }, command: Command) => {
      if (names.length === 0 && options.all !== true) {
        throw usageError("rebuild needs a role", `name some of ${roles}, or give --all`);
      }
      const chosen = options.all === true ? PROJECTED_ROLES : names.map(roleOf);
      return withSession(context, command, (session) => rebuild(session, chosen));
    });

  program
    .command("reconcile [roles...]")
    .summary("compare stores with the journal")
    .description(
      `Compares what stores really hold with the journal, row by row: ${roles}. Exits with 1 when something differs and was not repaired, or a store did not answer.`,
    )
    .option("--repair", "make the rows that differ what they should be")
    .option("--deep", "use nothing remembered; read every segment and original file whole")
    .option("--all-tenants", "every tenant, one after another")
    .option("--since <time>", "only what was received since: an instant, a day, or -7d")
    .option("--until <time>", "only what was received before")
    .option("--throttle <percent>", "share of one core it may take, from 1 to 100; default 100")
    .option("--resume", "continue a comparison that was interrupted")
    .action((names: readonly string[], options: ReconcileFlags, command: Command) => {
      const chosen = names.length === 0 ? undefined : names.map(roleOf);
      return withSession(context, command, (session) => reconcile(session, chosen, options));
    });

  program
    .command("compact")
    .summary("merge small segments into large ones")
    .description("Moves inline lines and small segments into large segments; no proof changes.")
    .action((_options, command: Command) => withSession(context, command, compact));
}

function roleOf(name: string): ProjectedRole {
  return oneOf(name, PROJECTED_ROLES, "role that can be rebuilt,");
}

async function rebuild(session: Session, roles: readonly ProjectedRole[]): Promise<void> {
  const { custody, scope, terminal, show, paint } = session;
  const startedAt = terminal.clock();
  // Asks nothing of any store: it only has changed record types looked at before one is emptied.
  await custody.catchUp(scope, []);
  const built = await custody.rebuild(scope, roles);
  await show(built, () => {
    const table = renderTable(
      [{ title: "store" }, { title: "projection" }],
      built.map(({ role, name }) => [{ text: role, style: "name" }, name]),
      { paint, width: terminal.columns, isBare: true },
    );
    const took = formatDuration(terminal.clock() - startedAt);
    return `${table}${paint("good", `${countOf(built.length, "projection")} rebuilt from the journal in ${took}`)}\n`;
  });
}

interface ReconcileFlags {
  readonly repair?: boolean;
  readonly deep?: boolean;
  readonly allTenants?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly throttle?: string;
  readonly resume?: boolean;
}

async function reconcile(
  session: Session,
  roles: readonly ProjectedRole[] | undefined,
  flags: ReconcileFlags,
): Promise<Outcome> {
  const { custody, scope, show, terminal } = session;
  const { repair, deep, allTenants, resume } = flags;
  const nowMs = terminal.clock();
  const instant = (text: string | undefined): number | undefined =>
    text === undefined ? undefined : parseInstant(text, nowMs);
  const stopping = new AbortController();
  let report: ReconcileReport;
  {
    using line = progressLine(terminal, "comparing");
    using _interrupt = terminal.onInterrupt(() => stopping.abort());
    report = await custody.reconcile(scope, {
      ...given({ roles, repair, deep, allTenants, resume }),
      ...given({ since: instant(flags.since), until: instant(flags.until) }),
      ...(flags.throttle === undefined ? {} : { throttle: { share: shareOf(flags.throttle) } }),
      signal: stopping.signal,
      onProgress: ({ done, of }) => line.update(done, of),
    });
  }
  await show(report, () => renderReconciliation(session, report));
  const isMended = report.projections.every((one) => one.repaired >= one.differences);
  const isWhole = (report.files?.faults.length ?? 0) === 0 && report.notCompared.length === 0;
  return report.ok || (repair === true && isMended && isWhole) ? "done" : "found-wrong";
}

/** A percentage of a core as a share. */
function shareOf(text: string): number {
  const percent = /^\d{1,3}%?$/.test(text) ? Number.parseInt(text, 10) : 0;
  if (percent >= 1 && percent <= 100) return percent / 100;
  throw usageError(
    `not a share of a core: ${JSON.stringify(text)}`,
    "write a whole percentage from 1 to 100",
  );
}

function renderReconciliation(session: Session, report: ReconcileReport): string {
  const { paint, terminal } = session;
  const hasTenants = new Set(report.projections.map(({ tenant }) => tenant)).size > 1;
  const table = renderTable(
    [
      ...(hasTenants ? [{ title: "tenant" }] : []),
      { title: "store" },
      { title: "projection" },
      { title: "records", align: "right" },
      { title: "differences", align: "right" },
      { title: "repaired", align: "right" },
      { title: "compared at" },
    ],
    report.projections.map((one) => [
      ...(hasTenants ? [one.tenant] : []),
      { text: one.role, style: "name" },
      one.name,
      formatNumber(one.records),
      {
        text: `${one.isCut ? "at least " : ""}${formatNumber(one.differences)}`,
        style: one.differences === 0 ? "good" : "bad",
      },
      formatNumber(one.repaired),
      { text: `entry ${one.checkpoint}`, style: "faint" },
    ]),
    { paint, width: terminal.columns },
  );
  const tables = [
    table,
    renderNotCompared(session, report),
    renderMonths(session, report),
    renderExamples(session, report),
  ];
  return `${tables.filter((one) => one !== "").join("\n")}${renderVerdict(session, report)}`;
}

/** The projections whose stores did not answer. */
function renderNotCompared({ paint, terminal }: Session, report: ReconcileReport): string {
  if (report.notCompared.length === 0) return "";
  const titles = ["not compared", "projection", "tenant", "as its store does not answer"];
  return renderTable(
    titles.map((title) => ({ title })),
    report.notCompared.map(({ tenant, role, name, reason }) => [
      { text: role, style: "bad" as const },
      name,
      tenant,
      visibleText(reason),
    ]),
    { paint, width: terminal.columns },
  );
}

/** In which months of the journal the differences lie. */
function renderMonths({ paint, terminal }: Session, report: ReconcileReport): string {
  const rows = report.projections.flatMap(({ role, name, months }) =>
    months
      .filter(({ month, differences }) => month !== "" && differences > 0)
      .map(({ month, records, differences }) => [
        month,
        role,
        name,
        formatNumber(records),
        { text: formatNumber(differences), style: "bad" as const },
      ]),
  );
  if (rows.length === 0) return "";
  const titles = ["received", "store", "projection", "records", "differences"];
  const columns = titles.map((title) => ({ title }));
  return renderTable(columns, rows, { paint, width: terminal.columns });
}

function renderExamples({ paint, terminal }: Session, report: ReconcileReport): string {
  const examples = report.projections.flatMap(({ role, name, examples: found }) =>
    found
      .slice(0, EXAMPLES_SHOWN)
      .map(({ kind, id, sequence }) => [
        { text: kind, style: "bad" as const },
        role,
        name,
        id,
        `entry ${sequence}`,
      ]),
  );
  if (examples.length === 0) return "";
  const titles = ["what", "store", "projection", "id", "from"].map((title) => ({ title }));
  return renderTable(titles, examples, { paint, width: terminal.columns });
}

function renderVerdict(
  { paint }: Session,
  { projections, notCompared, files }: ReconcileReport,
): string {
  const lines: string[] = [];
  if (notCompared.length > 0)
    lines.push(
      paint("bad", `${countOf(notCompared.length, "projection")} could not be compared; try again`),
    );
  else if (projections.every(({ differences }) => differences === 0))
    lines.push(paint("good", "the stores hold what the journal says"));
  if (files !== undefined) {
    const { segments, originals, bytes, faults } = files;
    const read = `${countOf(segments, "segment")} and ${countOf(originals, "original file")} of ${formatBytes(bytes)}`;
    lines.push(paint("good", `${read} have the bytes that were committed`));
    for (const { kind, at, tenant, reason } of faults)
      lines.push(
        paint("bad", `${kind} ${visibleText(at)} of tenant ${tenant}: ${visibleText(reason)}`),
      );
  }
  return lines.map((line) => `${line}\n`).join("");
}

// Enough to see what is wrong; --json gives up to 1,000 of each projection.
const EXAMPLES_SHOWN = 10;

async function compact({ custody, scope, show }: Session): Promise<void> {
  const answer = await custody.compact(scope);
  await show(answer, () => {
    const { entries, segmentsBefore, segmentsAfter } = answer;
    return `${countOf(entries, "entry", "entries")} moved: ${countOf(segmentsBefore, "segment")} before, ${formatNumber(segmentsAfter)} now\n`;
  });
}
