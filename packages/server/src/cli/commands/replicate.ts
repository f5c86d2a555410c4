import type { ShippingRound } from "@custody/core/backup/ship-continuously";
import { stringifyJson } from "@custody/contract/json";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Command } from "commander";

import { openPlace } from "../../open-place.ts";
import { faultOf } from "../fault.ts";
import { formatBytes, formatInstant } from "../output/quantity.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { parseDuration } from "../values/time.ts";
import { lagInWords } from "./backup-rendering.ts";

interface ReplicateArguments {
  readonly to: string;
  readonly every?: number;
}

/** Registers `replicate run` and `replicate status`. */
export function addReplicateCommands(program: Command, context: CommandContext): void {
  const replicate = program
    .command("replicate")
    .description(
      "keeps a second repository, in another region say, in step with this installation",
    );
  replicate
    .command("run")
    .summary("ship journal and segments to another place until stopped")
    .description(
      "Ships what is committed to another repository until it is stopped (Ctrl-C), and shows how far it is behind. A place that is away is waited for. `custody promote` makes an installation of it.",
    )
    .requiredOption(...TO)
    .option("--every <duration>", "pause between two rounds", parseDuration)
    .action((options: ReplicateArguments, command: Command) =>
      withSession(context, command, (session) =>
        onPlace(session, options.to, (place) => shipUntilStopped(session, place, options.every)),
      ),
    );
  replicate
    .command("status")
    .summary("say how far the other place is behind")
    .description("Says how far another repository is behind what is committed here.")
    .requiredOption(...TO)
    .action((options: ReplicateArguments, command: Command) =>
      withSession(context, command, (session) =>
        onPlace(session, options.to, (place) => status(session, place)),
      ),
    );
}

const TO: readonly [string, string] = [
  "--to <place>",
  "the other repository: a directory, file:///… or s3://…",
];

async function onPlace(
  { terminal }: Session,
  url: string,
  work: (place: BlobStore) => Promise<void>,
): Promise<void> {
  await using place = await openPlace(url, { directory: terminal.directory });
  await work(place);
}

/** Ships to a place until the user stops it; each round is a line of JSON, or one line that changes. */
export async function shipUntilStopped(
  session: Session,
  place: BlobStore,
  pauseMs?: number,
): Promise<void> {
  const { custody, scope, settings, terminal, tell } = session;
  const stop = new AbortController();
  using _interrupt = terminal.onInterrupt(() => stop.abort());
  let last: ShippingRound | undefined;
  let [shipped, writing] = [0, Promise.resolve()];
  await custody.backup.ship(scope, place, {
    signal: stop.signal,
    ...(pauseMs === undefined ? {} : { pauseMs }),
    onRound: (round) => {
      last = round;
      shipped += round.bytes;
      if (settings.isJson) {
        const line = `${stringifyJson(roundJson(round, terminal.clock()))}\n`;
        writing = writing.then(() => terminal.write(line));
      } else if (terminal.progress !== undefined) tell(`${roundInWords(round)}\u001b[K\r`);
      else if (round.error !== undefined) tell(`${roundInWords(round)}\n`);
    },
  });
  await writing;
  if (settings.isJson) return;
  if (terminal.progress !== undefined) tell("\u001b[K");
  const end = last === undefined ? "nothing was shipped" : roundInWords(last);
  await terminal.write(`${formatBytes(shipped)} shipped; ${end}\n`);
}

function roundJson(
  { backupId, bytes, lag, error }: ShippingRound,
  at: number,
): Readonly<Record<string, unknown>> {
  return {
    at,
    bytes,
    lag,
    ...(backupId === undefined ? {} : { backupId }),
    ...(error === undefined ? {} : { error: faultOf(error) }),
  };
}

function roundInWords({ lag, error }: ShippingRound): string {
  if (error === undefined) return lagInWords(lag);
  return `${lagInWords(lag)}; it is tried again: ${faultOf(error).message}`;
}

async function status({ custody, scope, show }: Session, place: BlobStore): Promise<void> {
  const lag = await custody.backup.lag(scope, place);
  await show(lag, () => {
    const newest =
      lag.newest === undefined
        ? "nothing was shipped yet"
        : `backup ${lag.newest.backupId} of ${formatInstant(lag.newest.createdAt)}`;
    return `${newest}: ${lagInWords(lag)}\n`;
  });
}
