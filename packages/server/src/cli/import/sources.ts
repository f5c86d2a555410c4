import { createReadStream } from "node:fs";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";

import { usageError } from "../command-error.ts";
import type { Terminal } from "../terminal.ts";
import { writeFileWhole } from "../whole-file.ts";

/** A file to be imported. */
export interface ImportedSource {
  /** As the user named it, or found below a directory that the user named. */
  readonly path: string;
  /** Last part of the path. */
  readonly name: string;
  readonly bytes: number;
  /** True when it was found in a directory: then an unknown format is no failure. */
  readonly isFound: boolean;
  readonly open: () => AsyncIterable<Uint8Array>;
}

/** The files of a command line; disposing removes what was put aside for them. */
export interface SourceList extends AsyncDisposable {
  readonly list: readonly ImportedSource[];
}

// One read a megabyte: fewer calls than the default of 64 KiB, and still little memory.
const READ_BYTES = 1024 * 1024;

/**
 * Finds the files that a command line names, in a stable order. Standard input is put into a private
 * file first, as an import may have to read from the beginning more than once.
 */
export async function listSources(
  names: readonly string[],
  terminal: Terminal,
  isRecursive: boolean,
): Promise<SourceList> {
  if (names.includes("-")) return spoolInput(terminal);
  const list: ImportedSource[] = [];
  for (const name of names) {
    const path = resolve(terminal.directory, name);
    const isDirectory = await isDirectoryAt(path);
    if (!isDirectory) list.push(await fileSource(name, path, false));
    else if (isRecursive) list.push(...(await filesBelow(name, path)));
    else throw usageError(`${name} is a directory`, `custody import -r ${name}`);
  }
  return { list, async [Symbol.asyncDispose]() {} };
}

/** What cannot be looked at is taken for a file: importing it then says why not. */
async function isDirectoryAt(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

async function filesBelow(name: string, directory: string): Promise<readonly ImportedSource[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const sorted = entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const found: ImportedSource[] = [];
  for (const entry of sorted) {
    const [shown, path] = [join(name, entry.name), join(directory, entry.name)];
    if (entry.isDirectory()) found.push(...(await filesBelow(shown, path)));
    else if (entry.isFile()) found.push(await fileSource(shown, path, true));
  }
  return found;
}

async function fileSource(path: string, file: string, isFound: boolean): Promise<ImportedSource> {
  const { size } = await stat(file).catch(() => ({ size: 0 }));
  return {
    path,
    name: basename(file),
    bytes: size,
    isFound,
    open: () => createReadStream(file, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>,
  };
}

async function spoolInput(terminal: Terminal): Promise<SourceList> {
  // Readable by this user alone (mkdtemp makes directories of mode 0700).
  const directory = await mkdtemp(join(tmpdir(), "custody-input-"));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const file = join(directory, "standard-input");
    await writeFileWhole(file, terminal.input());
    const source = await fileSource("-", file, false);
    return { list: [source], [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
