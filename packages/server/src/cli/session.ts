import { userInfo } from "node:os";

import { stringifyJson } from "@custody/contract/json";
import type { DrillPlace } from "@custody/core/backup/drill";
import type { RestoreReport } from "@custody/core/backup/restore";
import type { After, Custody } from "@custody/core/custody";
import { CoreError } from "@custody/core/errors";
import type { Scope } from "@custody/stores/scope";
import type { Command } from "commander";

import type { RestoreInstallationOptions, ScratchOptions } from "../backup-composition.ts";
import type { EngineUrls } from "../open-stores.ts";
import { usageError } from "./command-error.ts";
import { nearest } from "./nearest.ts";
import { createPaint } from "./output/paint.ts";
import type { Paint } from "./output/paint.ts";
import { resolveSettings } from "./settings.ts";
import type { GlobalOptions, Settings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";
import { parseAfter } from "./values/after-argument.ts";

/** The functions of `compose.ts` that the command line calls. */
export interface Composition {
  openCustody(options: {
    readonly dataDirectory: string;
    readonly keyFile: string;
    readonly engines?: EngineUrls;
    readonly keyBackup?: string;
    readonly keyService?: string;
    readonly onNotice?: (text: string) => void;
    readonly acceptLoss?: boolean;
    readonly settings?: { readonly slowMs?: number };
  }): Promise<Custody>;
  initCustody(options: {
    readonly dataDirectory: string;
    readonly keyFile: string;
  }): Promise<{ readonly recoveryKey: string }>;
  recoverKeyFile(options: {
    readonly dataDirectory: string;
    readonly keyFile: string;
    readonly recoveryKey: string;
  }): Promise<void>;
  makeScratchPlace(options: ScratchOptions): Promise<DrillPlace>;
  restoreInstallation(options: RestoreInstallationOptions): Promise<RestoreReport>;
}

/** How a command ended that did not fail: a check that found something wrong is no failure of the command. */
export type Outcome = "done" | "found-wrong";

/** What a command without an open Custody works with. */
export interface CommandRun {
  readonly terminal: Terminal;
  readonly compose: Composition;
  readonly settings: Settings;
  readonly paint: Paint;
  /** Prints one JSON value on one line with `--json`, else the text that `render` gives. */
  readonly show: (answer: unknown, render: () => string) => Promise<void>;
  /** Tells people something beside the answer; silent with `--json`. */
  readonly tell: (text: string) => void;
}

/** What a command with an open Custody works with. */
export interface Session extends CommandRun {
  readonly custody: Custody;
  readonly scope: Scope;
  /** `{after}` when the user gave it, to be spread into a read's options. */
  readonly atLeast: { readonly after?: After };
}

/** What commands are registered with. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly compose: Composition;
  /** Says that a check has found something wrong. */
  readonly foundWrong: () => void;
}

/** Runs a command that opens nothing. */
export async function runCommand(
  context: CommandContext,
  command: Command,
  work: (run: CommandRun) => Promise<Outcome | void>,
): Promise<void> {
  const { terminal, compose } = context;
  const settings = resolveSettings(command.optsWithGlobals<GlobalOptions>(), terminal);
  const outcome = await work({
    terminal,
    compose,
    settings,
    paint: createPaint(settings.hasColor),
    show: (answer, render) =>
      terminal.write(settings.isJson ? `${stringifyJson(answer)}\n` : render()),
    tell: (text) => (settings.isJson ? undefined : terminal.note(text)),
  });
  if (outcome === "found-wrong") context.foundWrong();
}

/** Runs a command with Custody open, and closes it whatever happens. */
export async function withSession(
  context: CommandContext,
  command: Command,
  work: (session: Session) => Promise<Outcome | void>,
): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions & { readonly acceptLoss?: boolean }>();
  await runCommand(context, command, async (run) => {
    const { settings, terminal } = run;
    const atLeast =
      options.after === undefined
        ? {}
        : { after: await parseAfter(options.after, terminal.directory) };
    await using custody = await run.compose.openCustody({
      dataDirectory: settings.dataDirectory,
      keyFile: settings.keyFile,
      engines: settings.engines,
      ...(settings.keyBackup === undefined ? {} : { keyBackup: settings.keyBackup }),
      ...(settings.keyService === undefined ? {} : { keyService: settings.keyService }),
      ...(settings.slowMs === undefined ? {} : { settings: { slowMs: settings.slowMs } }),
      onNotice: (text) => run.tell(`${text}\n`),
      ...(options.acceptLoss === true ? { acceptLoss: true } : {}),
    });
    const { tenant, owner } = settings;
    const scope = {
      tenant,
      ...(owner === undefined ? {} : { owner }),
      actor: `os:${userName()}`,
      deadline: Infinity,
    };
    return await work({ ...run, custody, scope, atLeast });
  });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a number that no user has (nodejs.org/api/os.html#osuserinfooptions).
    return "unknown";
  }
}

/**
 * Calls the library about a record type; for a type that does not exist the user is told the nearest.
 *
 * @throws CommandError `usage`.
 */
export async function aboutType<Answer>(
  session: Session,
  name: string,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof CoreError && (error.code === "usage" || error.code === "not-found")) {
      await refuseUnknownType(session, name);
    }
    throw error;
  }
}

/** @throws CommandError `usage` when there is no such record type. */
export async function refuseUnknownType(session: Session, name: string): Promise<void> {
  const names = (await session.custody.types(session.scope)).map((type) => type.name);
  if (names.includes(name)) return;
  const near = nearest(name, names);
  throw usageError(
    `there is no record type ${JSON.stringify(name)}`,
    near === undefined
      ? "`custody types` lists them"
      : `did you mean ${near}? \`custody types\` lists all`,
  );
}
