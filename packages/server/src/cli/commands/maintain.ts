import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";
import type { ReconcileReport } from "@custody/core/reports";
import type { Command } from "commander";

import { usageError } from "../command-error.ts";
import { given } from "../given.ts";
import { countOf, formatDuration, formatNumber } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Outcome, Session } from "../session.ts";
import { oneOf } from "../values/measure-argument.ts";

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
      `Compares what stores really hold with the journal, row by row: ${roles}. Exits with 1 when something differs and was not repaired.`,
    )
    .option("--repair", "make the rows that differ what they should be")
    .action(
      (names: readonly string[], options: { readonly repair?: boolean }, command: Command) => {
        const chosen = names.length === 0 ? undefined : names.map(roleOf);
        return withSession(context, command, (session) =>
          reconcile(session, chosen, options.repair ?? false),
        );
      },
    );

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

async function reconcile(
  session: Session,
  roles: readonly ProjectedRole[] | undefined,
  repair: boolean,
): Promise<Outcome> {
  const { custody, scope, show } = session;
  const report = await custody.reconcile(scope, { repair, ...given({ roles }) });
  await show(report, () => renderReconciliation(session, report));
  const isMended = report.projections.every((one) => one.repaired >= one.differences);
  return report.ok || (repair && isMended) ? "done" : "found-wrong";
}

function renderReconciliation({ paint, terminal }: Session, report: ReconcileReport): string {
  const table = renderTable(
    [
      { title: "store" },
      { title: "projection" },
      { title: "records", align: "right" },
      { title: "differences", align: "right" },
      { title: "repaired", align: "right" },
      { title: "compared at" },
    ],
    report.projections.map((one) => [
      { text: one.role, style: "name" },
      one.name,
      formatNumber(one.records),
      { text: formatNumber(one.differences), style: one.differences === 0 ? "good" : "bad" },
      formatNumber(one.repaired),
      { text: `entry ${one.checkpoint}`, style: "faint" },
    ]),
    { paint, width: terminal.columns },
  );
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
  if (examples.length === 0)
    return `${table}${paint("good", "the stores hold what the journal says")}\n`;
  const titles = ["what", "store", "projection", "id", "from"].map((title) => ({ title }));
  return `${table}\n${renderTable(titles, examples, { paint, width: terminal.columns })}`;
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
