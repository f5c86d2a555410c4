import { resolve } from "node:path";

import { keepInWords } from "@custody/core/backup/retention";
import type { Command } from "commander";

import { usageError } from "../command-error.ts";
import { withoutSecrets } from "../../open-place.ts";
import { readCron } from "../../scheduler/cron.ts";
import { findPolicy, placeUrl, readPolicyFile } from "../../scheduler/policy-file.ts";
import type { FoundPolicy } from "../../scheduler/policy-file.ts";
import { formatInstant } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { runCommand } from "../session.ts";
import type { CommandContext, CommandRun } from "../session.ts";

/** Registers `policy check` and `policy show`. */
export function addPolicyCommands(program: Command, context: CommandContext): void {
  const policy = program
    .command("policy")
    .description("looks after what is backed up where, how often and for how long");
  policy
    .command("check [file]")
    .summary("read a policy and say what it means")
    .description(
      "Reads a policy, that of CUSTODY_POLICY unless another file is named, and says what it will do. What is wrong is told with its field.",
    )
    .action((file: string | undefined, _options, command: Command) =>
      runCommand(context, command, (run) => check(run, requirePolicy(run, file))),
    );
  policy
    .command("show")
    .summary("print the policy in force")
    .description(
      "Prints the policy in force with everything it leaves to the defaults: a file to begin with.",
    )
    .action((_options, command: Command) =>
      runCommand(context, command, async (run) => {
        const { policy: inForce } = requirePolicy(run, undefined);
        const whole = { version: 1, ...inForce };
        await run.show(whole, () => `${JSON.stringify(whole, undefined, 2)}\n`);
      }),
    );
}

/** The policy in force, or that of a file. @throws CommandError `usage` when there is none. */
export function requirePolicy({ terminal }: CommandRun, file: string | undefined): FoundPolicy {
  if (file !== undefined) return readPolicyFile(resolve(terminal.directory, file));
  const found = findPolicy(terminal);
  if (found !== undefined) return found;
  throw usageError(
    "there is no policy, and no repository to schedule backups into",
    "set CUSTODY_BACKUP_URL to a directory or s3://…, or CUSTODY_POLICY to a policy's file",
  );
}

async function check(run: CommandRun, { policy, source }: FoundPolicy): Promise<void> {
  const { terminal, paint, show } = run;
  const now = terminal.clock();
  const jobs = policy.jobs.map((job) => ({
    ...job,
    nextAt: readCron(job.every, policy.timeZone).next(now),
  }));
  const repositories = Object.entries(policy.repositories).map(([name, place]) => ({
    name,
    // Reads the files that hold URLs: a check that leaves them out would find a lack of them at night.
    url: withoutSecrets(placeUrl(place, terminal.directory)),
    keep: place.keep,
  }));
  const answer = { source, timeZone: policy.timeZone, repositories, jobs };
  await show(answer, () => {
    const width = terminal.columns;
    const places = renderTable(
      [{ title: "repository" }, { title: "where" }, { title: "keeps" }],
      repositories.map(({ name, url, keep }) => [
        { text: name, style: "name" },
        url,
        keepInWords(keep),
      ]),
      { paint, width },
    );
    const table = renderTable(
      [{ title: "job" }, { title: "does" }, { title: "when" }, { title: "next" }],
      jobs.map(({ name, kind, every, nextAt }) => [
        { text: name, style: "name" },
        kind,
        every,
        { text: nextAt === undefined ? "never" : formatInstant(nextAt), style: "faint" },
      ]),
      { paint, width },
    );
    return `${places}\n${table}${paint("good", `${source} can be used`)}\n`;
  });
}
