import type { BackupProgress } from "@custody/core/backup/create-backup";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Command } from "commander";

import { openPlace } from "../../open-place.ts";
import { findPolicy, repositoryUrl } from "../../scheduler/policy-file.ts";
import { DEFAULT_KEEP } from "@custody/core/backup/policy";
import type { RetentionRule } from "@custody/core/backup/retention";
import { usageError } from "../command-error.ts";
import { given } from "../given.ts";
import { progressLine } from "../output/progress.ts";
import { withSession } from "../session.ts";
import type { CommandContext, CommandRun, Outcome, Session } from "../session.ts";
import { parseCount } from "../values/numbers-and-names.ts";
import {
  phaseInWords,
  renderDrill,
  renderBackups,
  renderCreated,
  renderPruned,
  renderVerified,
} from "./backup-rendering.ts";
import { shipUntilStopped } from "./replicate.ts";

interface RepositoryOption {
  readonly repository?: string;
}

/** Registers `backup create`, `list`, `verify` and `prune`. */
export function addBackupCommands(program: Command, context: CommandContext): Command {
  const backup = program
    .command("backup")
    .description("copies journal, segments and files to a place elsewhere, and back");
  backup
    .command("create")
    .summary("make a backup while writing goes on")
    .description(
      "Makes a backup of all tenants: what is there already is not copied again. It is sealed, and needs a backup of the keys beside it. The same command goes on after an interruption.",
    )
    .option(...REPOSITORY)
    .option("--full", "trust nothing: read everything again, also what was backed up already")
    .option("--continuous", "go on shipping what is new until stopped, and show the lag")
    .action((options: CreateArguments, command: Command) =>
      withSession(context, command, (session) => create(session, options)),
    );
  backup
    .command("list")
    .summary("list the backups of a repository")
    .description(
      "Lists the backups of a repository, oldest first; one that cannot be read is named with the reason.",
    )
    .option(...REPOSITORY)
    .action((options: RepositoryOption, command: Command) =>
      withSession(context, command, (session) => list(session, options)),
    );
  backup
    .command("verify [backup]")
    .summary("check all of a backup without restoring it")
    .description(
      "Reads every object of a backup, the newest unless another is named, and checks seals, hashes, the chain and signatures. Exits with 1 when something is wrong.",
    )
    .option(...REPOSITORY)
    .action((id: string | undefined, options: RepositoryOption, command: Command) =>
      withSession(context, command, (session) => verify(session, id ?? "latest", options)),
    );
  backup
    .command("drill")
    .summary("try a restore in a scratch place")
    .description(
      "Restores the newest backup to a random instant in a scratch directory, compares, verifies and proves, and keeps the signed report as a record of custody/drills. Exits with 1 when something was wrong.",
    )
    .option(...REPOSITORY)
    .option("--scratch <directory>", "where to restore; default the directory of temporary files")
    .action((options: DrillArguments, command: Command) =>
      withSession(context, command, (session) => drill(session, options)),
    );
  addPruneCommand(backup, context);
  return backup;
}

/** The option by which every command on a repository names it. */
export const REPOSITORY: readonly [string, string] = [
  "--repository <place>",
  "the repository: a directory, file:///…, s3://…, or its name in the policy; CUSTODY_BACKUP_URL",
];

/** Opens the repository that is meant, works with it and closes it. */
export async function onRepository<Result>(
  { terminal }: Pick<CommandRun, "terminal">,
  { repository }: RepositoryOption,
  work: (place: BlobStore) => Promise<Result>,
): Promise<Result> {
  const { directory } = terminal;
  await using place = await openPlace(repositoryUrl(repository, terminal), { directory });
  return await work(place);
}

interface CreateArguments extends RepositoryOption {
  readonly full?: boolean;
  readonly continuous?: boolean;
}

async function create(session: Session, options: CreateArguments): Promise<void> {
  const { custody, scope, terminal, show, tell } = session;
  if (options.continuous === true) {
    if (options.full === true)
      throw usageError("a continuous backup is never full", "leave out --full");
    return onRepository(session, options, (place) => shipUntilStopped(session, place));
  }
  await onRepository(session, options, async (place) => {
    const startedAt = terminal.clock();
    const stop = new AbortController();
    using _interrupt = terminal.onInterrupt(() => {
      tell("\nstopping; what was copied is found by the next backup\n");
      stop.abort();
    });
    using bar = createBar(session);
    const made = await custody.backup.create(scope, place, {
      kind: options.full === true ? "full" : "incremental",
      signal: stop.signal,
      onProgress: bar.update,
    });
    bar[Symbol.dispose]();
    await show(made, () => renderCreated(session, made, terminal.clock() - startedAt));
  });
}

/** One bar for each phase of each tenant: their amounts are of different things. */
function createBar({ terminal }: Session): Disposable & { update: (so: BackupProgress) => void } {
  let line: ReturnType<typeof progressLine> | undefined;
  let title = "";
  return {
    update: (so) => {
      const now = phaseInWords(so);
      if (now !== title) {
        line?.[Symbol.dispose]();
        line = progressLine(terminal, now);
        title = now;
      }
      line?.update(so.done, so.of ?? so.done);
    },
    [Symbol.dispose]: () => line?.[Symbol.dispose](),
  };
}

async function list(session: Session, options: RepositoryOption): Promise<void> {
  const { custody, scope, show } = session;
  await onRepository(session, options, async (place) => {
    const backups = await custody.backup.list(scope, place);
    await show(backups, () => renderBackups(session, backups));
  });
}

async function verify(session: Session, id: string, options: RepositoryOption): Promise<Outcome> {
  const { custody, scope, show, terminal } = session;
  return onRepository(session, options, async (place) => {
    const stop = new AbortController();
    using _interrupt = terminal.onInterrupt(() => stop.abort());
    using bar = progressLine(terminal, "verifying");
    const report = await custody.backup.verify(scope, place, id, {
      signal: stop.signal,
      onProgress: bar.update,
    });
    bar[Symbol.dispose]();
    await show(report, () => renderVerified(session, report));
    return report.ok ? "done" : "found-wrong";
  });
}

interface DrillArguments extends RepositoryOption {
  readonly scratch?: string;
}

async function drill(session: Session, options: DrillArguments): Promise<Outcome> {
  const { compose, custody, scope, settings, terminal, show, tell } = session;
  return onRepository(session, options, async (place) => {
    const stop = new AbortController();
    using _interrupt = terminal.onInterrupt(() => stop.abort());
    if (terminal.progress !== undefined) tell("restoring in a scratch place …\u001b[K\r");
    const { dataDirectory, keyFile, keyBackup } = settings;
    const signed = await custody.backup.drill(scope, place, {
      makePlace: () =>
        compose.makeScratchPlace({
          dataDirectory,
          keyFile,
          ...given({
            keyBackup,
            scratch: options.scratch,
          }),
          open: (restored) => compose.openCustody(restored),
        }),
      signal: stop.signal,
    });
    if (terminal.progress !== undefined) tell("\u001b[K");
    await show(signed, () => renderDrill(session, signed.report));
    return signed.report.ok ? "done" : "found-wrong";
  });
}

interface PruneArguments extends RepositoryOption {
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly dryRun?: boolean;
  readonly dropUnreadable?: boolean;
}

function addPruneCommand(backup: Command, context: CommandContext): void {
  backup
    .command("prune")
    .summary("delete backups that are not to be kept any more")
    .description(
      "Deletes the backups that the rule does not keep, and what only they needed. The rule is the repository's in the policy unless it is given here. The newest backup and the newest verified one are always kept.",
    )
    .option(...REPOSITORY)
    .option("--keep-last <n>", "keep the newest", parseCount)
    .option(
      "--keep-hourly <n>",
      "keep the newest of each of the last hours that have one",
      parseCount,
    )
    .option("--keep-daily <n>", "the same by days", parseCount)
    .option("--keep-weekly <n>", "by weeks", parseCount)
    .option("--keep-monthly <n>", "by months", parseCount)
    .option("--keep-yearly <n>", "by years", parseCount)
    .option("--dry-run", "say what would be deleted, and delete nothing")
    .option("--drop-unreadable", "delete backups that cannot be read, too")
    .action((options: PruneArguments, command: Command) =>
      withSession(context, command, (session) => prune(session, options)),
    );
}

async function prune(session: Session, options: PruneArguments): Promise<void> {
  const { custody, scope, show, terminal } = session;
  await onRepository(session, options, async (place) => {
    const stop = new AbortController();
    using _interrupt = terminal.onInterrupt(() => stop.abort());
    const pruned = await custody.backup.prune(scope, place, ruleOf(session, options), {
      isTrial: options.dryRun ?? false,
      dropUnreadable: options.dropUnreadable ?? false,
      signal: stop.signal,
    });
    await show(pruned, () => renderPruned(session, pruned));
  });
}

/** The rule of the command line, else that of the policy's repository, else the default. */
function ruleOf({ terminal }: CommandRun, options: PruneArguments): RetentionRule {
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = options;
  const given: Readonly<Record<keyof RetentionRule, number | undefined>> = {
    last: keepLast,
    hourly: keepHourly,
    daily: keepDaily,
    weekly: keepWeekly,
    monthly: keepMonthly,
    yearly: keepYearly,
  };
  const rule = Object.fromEntries(
    Object.entries(given).filter(([, count]) => count !== undefined),
  ) as RetentionRule;
  if (Object.keys(rule).length > 0) return rule;
  const { repositories = {} } = findPolicy(terminal)?.policy ?? {};
  const place =
    options.repository === undefined
      ? Object.values(repositories)[0]
      : repositories[options.repository];
  return place?.keep ?? DEFAULT_KEEP;
}
