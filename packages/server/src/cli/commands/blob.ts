import { createReadStream } from "node:fs";
import { resolve } from "node:path";

import type { Command } from "commander";

import { CommandError } from "../command-error.ts";
import { given } from "../given.ts";
import { countOf, formatBytes, formatInstant } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { writeFileWhole } from "../whole-file.ts";
import { parseCount } from "../values/numbers-and-names.ts";

interface ListArguments {
  readonly limit?: number;
  readonly from?: string;
}

/** Registers `blob ls`, `blob get` and `blob put`. */
export function addBlobCommands(program: Command, context: CommandContext): void {
  const blob = program
    .command("blob")
    .description("original files, uploads and other bytes, kept sealed");
  blob
    .command("ls [prefix]")
    .description("Lists keys that begin with a prefix.")
    .option("--limit <n>", "keys at most (1,000)", parseCount)
    .option("--from <key>", "go on after this key")
    .action((prefix: string | undefined, options: ListArguments, command: Command) =>
      withSession(context, command, (session) => listBlobs(session, prefix ?? "", options)),
    );
  blob
    .command("get <key>")
    .description("Writes the opened bytes to standard output or a file.")
    .option("-o, --output <file>", "write them to this file")
    .action((key: string, options: { readonly output?: string }, command: Command) =>
      withSession(context, command, (session) => getBlob(session, key, options.output)),
    );
  blob
    .command("put <key> <file>")
    .description('Keeps the bytes of a file, or of standard input ("-"), under a key.')
    .action((key: string, file: string, _options, command: Command) =>
      withSession(context, command, (session) => putBlob(session, key, file)),
    );
}

const KEYS_DEFAULT = 1_000;

async function listBlobs(session: Session, prefix: string, options: ListArguments): Promise<void> {
  const { custody, scope, show, paint, terminal } = session;
  const blobs = await custody.blob.list(scope, prefix, {
    limit: options.limit ?? KEYS_DEFAULT,
    ...given({ after: options.from }),
  });
  await show(blobs, () => {
    if (blobs.length === 0) return "there is no such key\n";
    const table = renderTable(
      [{ title: "key", isWhole: true }, { title: "bytes", align: "right" }, { title: "written" }],
      blobs.map(({ key, bytes, modifiedAt }) => [
        { text: key, style: "name" },
        formatBytes(bytes),
        formatInstant(modifiedAt),
      ]),
      { paint, width: terminal.columns },
    );
    return `${table}${paint("faint", countOf(blobs.length, "blob"))}\n`;
  });
}

async function getBlob(session: Session, key: string, output: string | undefined): Promise<void> {
  const { custody, scope, terminal, tell } = session;
  const bytes = await custody.blob.get(scope, key);
  if (bytes === undefined) {
    throw new CommandError("not-found", `there is no blob ${JSON.stringify(key)}`, {
      next: "`custody blob ls` lists them",
    });
  }
  if (output === undefined) {
    for await (const chunk of bytes) await terminal.write(chunk);
    return;
  }
  const path = resolve(terminal.directory, output);
  const size = await writeFileWhole(path, bytes);
  tell(`${path}: ${formatBytes(size)}\n`);
}

async function putBlob(session: Session, key: string, file: string): Promise<void> {
  const { custody, scope, show, terminal } = session;
  const bytes =
    file === "-"
      ? terminal.input()
      : (createReadStream(resolve(terminal.directory, file)) as AsyncIterable<Uint8Array>);
  const kept = await custody.blob.put(scope, key, bytes);
  await show(kept, () => `${kept.key}: ${formatBytes(kept.bytes)}\n`);
}
