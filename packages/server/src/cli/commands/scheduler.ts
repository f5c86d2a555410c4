import { stringifyJson } from "@custody/contract/json";
import { TIERS } from "@custody/core/backup/policy-tiers";
import type { BackupPolicy } from "@custody/core/backup/policy";
import type { Command } from "commander";

import { nodeRuntime } from "../../node-runtime.ts";
import { openPlace } from "../../open-place.ts";
import { openSchedulerFile, readSchedulerMemory } from "../../scheduler/scheduler-file.ts";
import { keyBackupUrl, repositoryUrl } from "../../scheduler/policy-file.ts";
import { scheduledJobsOf, schedulePolicy } from "../../scheduler/schedule-installation.ts";
import { nextRunAt } from "../../scheduler/scheduler.ts";
import type { JobRun, JobState } from "../../scheduler/scheduler.ts";
import { faultOf } from "../fault.ts";
import { formatDuration, formatInstant } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import type { TableCell } from "../output/table.ts";
import { runCommand } from "../session.ts";
import type { CommandContext, CommandRun, Outcome } from "../session.ts";
import { parseDuration } from "../values/time.ts";
import { requirePolicy } from "./scheduler-policy.ts";

/** Registers `scheduler run` and `scheduler status`. */
export function addSchedulerCommands(program: Command, context: CommandContext): void {
  const scheduler = program
    .command("scheduler")
    .description("does what the policy says when it is due: backups, checks, drills, pruning");
  scheduler
    .command("run")
    .summary("run the policy's jobs until stopped")
    .description(
      "Runs the policy's jobs when they are due, until it is stopped (Ctrl-C, SIGTERM): what is under way is ended in order. What was missed is made up once. Each run becomes a record of custody/jobs.",
    )
    .action((_options, command: Command) => runCommand(context, command, run));
  scheduler
    .command("status")
    .summary("say what ran last and what is next")
    .description(
      "Says what ran last, how it ended, and when each job is next. Exits with 1 when a job has failed last or a tier's newest backup is too old.",
    )
    .action((_options, command: Command) => runCommand(context, command, status));
}

async function run(given: CommandRun): Promise<void> {
  const { compose, settings, terminal, tell } = given;
  const { policy, source } = requirePolicy(given, undefined);
  const runtime = nodeRuntime();
  const since = terminal.clock();
  using file = openSchedulerFile(settings.dataDirectory, {
    pid: process.pid,
    since,
    command: "custody scheduler run",
  });
  const stop = new AbortController();
  using _interrupt = terminal.onInterrupt(() => {
    tell("stopping when what is under way has ended\n");
    stop.abort();
  });
  const keyBackup = settings.keyBackup ?? keyBackupUrl(terminal);
  tell(`${policy.jobs.length} jobs of ${source}; Ctrl-C ends it\n`);
  await schedulePolicy(
    {
      policy,
      runtime,
      file,
      describe: faultOf,
      open: () =>
        compose.openCustody({
          dataDirectory: settings.dataDirectory,
          keyFile: settings.keyFile,
          engines: settings.engines,
          ...(keyBackup === undefined ? {} : { keyBackup }),
          ...(settings.keyService === undefined ? {} : { keyService: settings.keyService }),
          onNotice: (text) => tell(`${text}\n`),
        }),
      openRepository: (name) =>
        openPlace(repositoryUrl(name, terminal), { directory: terminal.directory }),
      makeScratchPlace: () =>
        compose.makeScratchPlace({
          dataDirectory: settings.dataDirectory,
          keyFile: settings.keyFile,
          ...(keyBackup === undefined ? {} : { keyBackup }),
          open: (restored) => compose.openCustody(restored),
        }),
      onRun: (ended) => writeRun(given, ended),
    },
    stop.signal,
  );
}

async function writeRun({ settings, terminal, paint }: CommandRun, ended: JobRun): Promise<void> {
  if (settings.isJson) return terminal.write(`${stringifyJson(ended)}\n`);
  const { job, outcome, endedAt, startedAt, summary, retryAt } = ended;
  const again = retryAt === undefined ? "" : `; again at ${formatInstant(retryAt)}`;
  const took = formatDuration(endedAt - startedAt);
  const state = paint(outcome === "done" ? "good" : "bad", outcome);
  await terminal.write(
    `${formatInstant(endedAt)}  ${paint("name", job)}  ${state}  ${summary} (${took})${again}\n`,
  );
}

/** A tier whose newest backup is older than the policy allows. */
interface LateTier {
  readonly tier: string;
  readonly newestWithin: string;
  /** Age of its newest backup in milliseconds; absent when there is none. */
  readonly ageMs?: number;
}

async function status(given: CommandRun): Promise<Outcome> {
  const { settings, terminal, paint, show } = given;
  const { policy } = requirePolicy(given, undefined);
  const now = terminal.clock();
  const { states, unrecorded } = readSchedulerMemory(settings.dataDirectory);
  const jobs = scheduledJobsOf({ policy }).map((job) => {
    const state = states.get(job.name);
    return { job: job.name, nextAt: nextRunAt(job, state, now), ...state };
  });
  const lateTiers = tiersLate(policy, states, now);
  const isWell =
    lateTiers.length === 0 &&
    jobs.every(({ last }) => last === undefined || last.outcome === "done");
  await show({ ok: isWell, jobs, lateTiers, unrecorded: unrecorded.length }, () => {
    const table = renderTable(
      [{ title: "job" }, { title: "last" }, { title: "ended" }, { title: "next" }, { title: "" }],
      jobs.map(({ job, last, nextAt }) => [
        { text: job, style: "name" },
        last === undefined ? "never" : formatInstant(last.startedAt),
        outcomeCell(last),
        nextAt === undefined ? "never" : formatInstant(nextAt),
        { text: last?.summary ?? "", style: "faint" },
      ]),
      { paint, width: terminal.columns },
    );
    const late = lateTiers.map(
      ({ tier, newestWithin, ageMs }) =>
        `${paint("bad", `tier ${tier}`)}: its newest backup ${ageMs === undefined ? "does not exist" : `is ${formatDuration(ageMs)} old`}, and ${newestWithin} are allowed\n`,
    );
    return `${table}${late.join("")}`;
  });
  return isWell ? "done" : "found-wrong";
}

function outcomeCell(last: JobRun | undefined): TableCell {
  if (last === undefined) return "";
  return { text: last.outcome, style: last.outcome === "done" ? "good" : "bad" };
}

/** Tiers that say how old their newest backup may be, and whose is older. */
function tiersLate(
  { tiers, jobs }: BackupPolicy,
  states: ReadonlyMap<string, JobState>,
  now: number,
): readonly LateTier[] {
  return TIERS.flatMap((tier) => {
    const { newestWithin } = tiers[tier] ?? {};
    if (newestWithin === undefined) return [];
    const newest = jobs
      .filter(({ kind, tiers: covered }) => isCopying(kind) && (covered?.includes(tier) ?? true))
      .map(({ name }) => states.get(name)?.lastDoneAt ?? -Infinity)
      .reduce((latest, at) => Math.max(latest, at), -Infinity);
    const ageMs = now - newest;
    if (ageMs <= parseDuration(newestWithin)) return [];
    return [{ tier, newestWithin, ...(newest === -Infinity ? {} : { ageMs }) }];
  });
}

function isCopying(kind: string): boolean {
  return kind === "ship" || kind === "backup";
}
