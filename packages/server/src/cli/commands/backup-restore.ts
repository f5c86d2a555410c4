import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

import { STORE_ROLES } from "@custody/contract/placement";
import type { StoreRole } from "@custody/contract/placement";
import type { RestoreReport } from "@custody/core/backup/restore";
import type { RestorePoint } from "@custody/core/backup/restore-cut";
import { readKeyBackupRecord } from "@custody/core/keys/key-backup-record";
import { keysDirectory, readKeyFile } from "@custody/core/keys/root-key-file";
import type { Command } from "commander";

import type { InstallationPlace, KeysToRestore } from "../../backup-composition.ts";
import type { TypedSecret } from "../../key-operations.ts";
import { placeUrl } from "../../open-place.ts";
import type { EngineUrls } from "../../open-stores.ts";
import { keyBackupUrl, placeOfVariable, repositoryUrl } from "../../scheduler/policy-file.ts";
import { usageError } from "../command-error.ts";
import { given } from "../given.ts";
import { progressLine } from "../output/progress.ts";
import { countOf, formatBytes, formatDuration, formatInstant } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { runCommand, withSession } from "../session.ts";
import type { CommandContext, CommandRun, Session } from "../session.ts";
import { collectNames, parseCount } from "../values/numbers-and-names.ts";
import { parseInstant } from "../values/time.ts";
import { renderRecords } from "./backup-rendering.ts";
import { onRepository, REPOSITORY } from "./backup.ts";
import { givenSecret, OPENING_SERVICE, readRecoveryKey } from "./key-secrets.ts";

interface PlaceArguments {
  readonly into?: string;
  readonly intoKeyFile?: string;
  readonly passphraseFile?: string;
  readonly keyService?: string | true;
  readonly beside?: boolean;
  readonly ignoreLive?: boolean;
  readonly wait: boolean;
}

interface RestoreArguments extends PlaceArguments {
  readonly repository?: string;
  readonly backup?: string;
  readonly toTime?: string;
  readonly toSeq?: number;
  readonly types?: readonly string[];
}

interface PromoteArguments extends PlaceArguments {
  readonly from: string;
}

/** Registers `backup restore` and `promote`. */
export function addRestoreCommands(
  program: Command,
  backup: Command,
  context: CommandContext,
): void {
  withPlaceOptions(
    backup
      .command("restore [point]")
      .summary("make an installation of a backup, as of any instant")
      .description(
        "Restores journal and files into a new place, as they were at an instant, and fills the stores from them. Nothing is ever restored over what is there. Keys come from their own backup, opened by this installation's key file, a passphrase, a key service, or the recovery key on standard input.",
      )
      .option(...REPOSITORY)
      .option(
        "--backup <id>",
        "which backup; default the newest, which holds every earlier instant",
      )
      .option("--to-time <instant>", "as of then: RFC 3339, a day, or =-2h for two hours ago")
      .option("--to-seq <n>", "as of this entry of the tenant that --tenant names", parseCount)
      .option(
        "--types <names>",
        "only records of these types, back into this installation; with --owner only that owner's",
        collectNames,
      ),
  ).action((point: string | undefined, options: RestoreArguments, command: Command) =>
    isOfRecords(command, options)
      ? withSession(context, command, (session) => bringBack(session, point, options))
      : runCommand(context, command, async (run) => {
          const { tenant } = command.optsWithGlobals<{ readonly tenant?: string }>();
          await restore(run, {
            from: repositoryUrl(options.repository, run.terminal),
            backupId: options.backup ?? "latest",
            to: pointOf(run, point, options),
            ...(tenant === undefined ? {} : { tenant }),
            place: options,
          });
        }),
  );
  withPlaceOptions(
    program
      .command("promote")
      .summary("make an installation of a replica")
      .description(
        "Makes an installation of what `custody replicate` has shipped to another place, as of its newest state, on a new timeline.",
      )
      .requiredOption("--from <place>", "the replica: a directory, file:///… or s3://…"),
  ).action((options: PromoteArguments, command: Command) =>
    runCommand(context, command, (run) =>
      restore(run, { from: options.from, backupId: "latest", to: "latest", place: options }),
    ),
  );
}

/** Whether records are to be brought back into this installation, in place of making another. */
function isOfRecords(command: Command, { types, into }: RestoreArguments): boolean {
  const { owner } = command.optsWithGlobals<{ readonly owner?: string }>();
  if (types === undefined && owner === undefined) return false;
  if (into === undefined) return true;
  throw usageError(
    "--types and --owner bring records back into this installation, and --into makes another",
    "leave out --into, or --types and --owner",
  );
}

async function bringBack(
  session: Session,
  point: string | undefined,
  options: RestoreArguments,
): Promise<void> {
  const { compose, custody, scope, settings, terminal, show } = session;
  const { owner, ...ofTenant } = scope;
  await onRepository(session, options, async (place) => {
    const stop = new AbortController();
    using _interrupt = terminal.onInterrupt(() => stop.abort());
    const { dataDirectory, keyFile, keyBackup } = settings;
    const counts = await custody.backup.restoreRecords(ofTenant, place, {
      backupId: options.backup ?? "latest",
      to: pointOf(session, point, options),
      ...given({ owner, types: options.types }),
      makePlace: () =>
        compose.makeScratchPlace({
          dataDirectory,
          keyFile,
          ...given({ keyBackup }),
          open: (restored) => compose.openCustody(restored),
        }),
      signal: stop.signal,
    });
    await show(counts, () => renderRecords(session, counts));
  });
}

function withPlaceOptions(command: Command): Command {
  return command
    .option(
      "--into <directory>",
      "the new data directory; CUSTODY_RESTORE_<ROLE>_URL names its servers. Default: the data directory itself, when it is empty",
    )
    .option("--into-key-file <file>", "the new key file, outside of it")
    .option("--passphrase-file <file>", "open the key backup with this passphrase (- is stdin)")
    .option(...OPENING_SERVICE)
    .option(
      "--beside",
      "the old installation goes on: the new one never writes into its key backup",
    )
    .option("--ignore-live", "do not ask the old installation for holds and erasures made since")
    .option("--no-wait", "do not wait until the stores are filled");
}

function pointOf(
  { terminal }: CommandRun,
  point: string | undefined,
  { toTime, toSeq }: RestoreArguments,
): RestorePoint {
  if (point !== undefined && point !== "latest")
    throw usageError(
      `not a point to restore to: ${JSON.stringify(point)}`,
      "write latest, or give --to-time or --to-seq",
    );
  const given = [point, toTime, toSeq].filter((one) => one !== undefined);
  if (given.length !== 1)
    throw usageError(
      given.length === 0 ? "restore to which point?" : "only one point can be restored to",
      "write latest, or give --to-time or --to-seq",
    );
  if (toTime !== undefined) return { time: parseInstant(toTime, terminal.clock()) };
  return toSeq === undefined ? "latest" : { sequence: toSeq };
}

interface Wanted {
  readonly from: string;
  readonly backupId: string;
  readonly to: RestorePoint;
  readonly tenant?: string;
  readonly place: PlaceArguments;
}

async function restore(run: CommandRun, wanted: Wanted): Promise<void> {
  const { compose, terminal, show, tell } = run;
  const startedAt = terminal.clock();
  const { place, from, ...what } = wanted;
  const into = intoOf(run, place);
  const keys = await keysFor(run, into, place);
  const live = liveOf(run, into, place);
  const stop = new AbortController();
  using _interrupt = terminal.onInterrupt(() => {
    tell("\nstopping; the same command again goes on\n");
    stop.abort();
  });
  using bar = progressLine(terminal, "restoring");
  const report = await compose.restoreInstallation({
    ...what,
    from: placeUrl(from, terminal.directory),
    into,
    ...(keys === undefined ? {} : { keys }),
    ...(live === undefined ? {} : { live }),
    signal: stop.signal,
    onProgress: ({ done, of }) => bar.update(done, of),
  });
  bar[Symbol.dispose]();
  if (place.wait) await fillStores(run, into);
  await show({ ...report, ...into, engines: undefined }, () =>
    renderRestored(run, report, { into, tookMs: terminal.clock() - startedAt }),
  );
}

/** The place that is restored into, and its servers. */
function intoOf({ settings, terminal }: CommandRun, place: PlaceArguments): InstallationPlace {
  if (place.into === undefined) {
    if (place.intoKeyFile !== undefined)
      throw usageError("--into-key-file needs --into", "or choose the key file with --key-file");
    const { dataDirectory, keyFile, engines } = settings;
    return { dataDirectory, keyFile, engines };
  }
  if (place.intoKeyFile === undefined)
    throw usageError(
      "a new data directory needs a key file",
      "give --into-key-file, outside of it",
    );
  const engines: Partial<Record<StoreRole, string>> = {};
  for (const role of STORE_ROLES) {
    const url = placeOfVariable(`CUSTODY_RESTORE_${role.toUpperCase()}_URL`, terminal);
    if (url !== undefined) engines[role] = url;
  }
  return {
    dataDirectory: resolve(terminal.directory, place.into),
    keyFile: resolve(terminal.directory, place.intoKeyFile),
    engines: engines satisfies EngineUrls,
  };
}

/** Where the keys come from; nowhere when the new place has them already, from `keys restore` or an earlier try. */
async function keysFor(
  run: CommandRun,
  { dataDirectory, keyFile }: InstallationPlace,
  place: PlaceArguments,
): Promise<KeysToRestore | undefined> {
  if (isInstallation(dataDirectory) && existsSync(keyFile)) return undefined;
  const { settings, terminal } = run;
  const remembered = await readKeyBackupRecord(keysDirectory(settings.dataDirectory));
  const url = settings.keyBackup ?? keyBackupUrl(terminal) ?? remembered?.url;
  if (url === undefined)
    throw usageError(
      "nothing says where the keys' backup is, and without keys no backup can be read",
      "give --key-backup, or set CUSTODY_KEY_BACKUP_URL",
    );
  return {
    url: placeUrl(url, terminal.directory),
    secret: await secretFor(run, place),
    isCopy: place.beside ?? false,
  };
}

async function secretFor(run: CommandRun, place: PlaceArguments): Promise<TypedSecret> {
  const given = await givenSecret(run, place);
  if (given !== undefined) return given;
  const { dataDirectory: directory, keyFile } = run.settings;
  if (!existsSync(keyFile)) return { kind: "recovery", typed: await readRecoveryKey(run) };
  return { kind: "root", root: await readKeyFile({ directory, keyFile }) };
}

/** The installation that is left, where there is one beside. */
function liveOf(
  { settings }: CommandRun,
  into: InstallationPlace,
  { ignoreLive }: PlaceArguments,
): InstallationPlace | undefined {
  const { dataDirectory, keyFile, engines } = settings;
  const isBeside = dataDirectory !== into.dataDirectory && isInstallation(dataDirectory);
  if (ignoreLive === true || !isBeside || !existsSync(keyFile)) return undefined;
  return { dataDirectory, keyFile, engines };
}

function isInstallation(dataDirectory: string): boolean {
  return existsSync(join(dataDirectory, "custody.json"));
}

/** Opens what was restored, which builds the stores from the journal. */
async function fillStores(
  { compose, tell, terminal }: CommandRun,
  into: InstallationPlace,
): Promise<void> {
  if (terminal.progress !== undefined) tell("filling the stores from the journal …\u001b[K\r");
  await using custody = await compose.openCustody({
    ...into,
    onNotice: (text) => tell(`${text}\n`),
  });
  for (const tenant of await custody.tenants())
    await custody.catchUp({ tenant, actor: "service:restore", deadline: Infinity });
  if (terminal.progress !== undefined) tell("\u001b[K");
}

function renderRestored(
  { paint, terminal }: CommandRun,
  report: RestoreReport,
  { into, tookMs }: { readonly into: InstallationPlace; readonly tookMs: number },
): string {
  const { backup, timeline, tenants, files, unknownTypes } = report;
  const table = renderTable(
    [
      { title: "tenant" },
      { title: "entries", align: "right" },
      { title: "as of" },
      { title: "left behind", align: "right" },
    ],
    tenants.map(({ tenant, cut, oldHead }) => [
      { text: tenant, style: "name" },
      String(cut.sequence),
      cut.receivedAt === undefined ? "before its first entry" : formatInstant(cut.receivedAt),
      String(Math.max(0, oldHead.size - cut.sequence)),
    ]),
    { paint, width: terminal.columns },
  );
  const erased = files.unreadable.filter(({ isErased }) => isErased).length;
  const keyless = tenants.reduce((sum, one) => sum + one.keyless, files.unreadable.length - erased);
  const notes = [
    ...(erased === 0 ? [] : [`${countOf(erased, "file")} of erased people left out`]),
    ...(keyless === 0
      ? []
      : [
          `${countOf(keyless, "record or file", "records or files")} cannot be read: their keys are not in the key backup, and nobody destroyed them. Look for a whole key backup before this place is used`,
        ]),
    ...(unknownTypes.length === 0
      ? []
      : [`in no pack, so in no store: ${unknownTypes.join(", ")}`]),
  ];
  return [
    paint("good", `restored backup ${backup} into ${into.dataDirectory}`),
    `  timeline  ${timeline}`,
    `  files     ${countOf(files.files, "file")}, ${formatBytes(files.bytes)}`,
    `  took      ${formatDuration(tookMs)}`,
    `${table}${notes.map((note) => `${paint("warning", note)}\n`).join("")}`,
  ].join("\n");
}
