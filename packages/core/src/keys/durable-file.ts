import { constants } from "node:fs";
import { link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Files that only their owner may read. */
const PRIVATE_MODE = 0o600;

/** A file's text, or `undefined` when there is none. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isCode(cause, "ENOENT")) return undefined;
    throw cause;
  }
}

/**
 * Creates files that survive power loss, each whole or not at all; one that exists stays as it is.
 * All must lie in one directory, which is synced once. Answers the paths that existed.
 *
 * @param suffix tells this writer's unfinished files from those of another process.
 */
export async function createDurably(
  files: readonly { readonly path: string; readonly text: string }[],
  suffix: string,
): Promise<readonly string[]> {
  const [first] = files;
  const existing: string[] = [];
  if (first === undefined) return existing;
  const directory = dirname(first.path);
  await makeDirectory(directory);
  await inTurns(files, async ({ path, text }) => {
    const unfinished = join(directory, `.${basename(path)}.${suffix}`);
    await writeSynced(unfinished, text);
    // A link, unlike a rename, does not replace what another process made in the meantime.
    await link(unfinished, path).catch((cause: unknown) => {
      if (!isCode(cause, "EEXIST")) throw cause;
      existing.push(path);
    });
    await rm(unfinished);
  });
  await syncDirectory(directory);
  return existing;
}

/**
 * Overwrites a file's bytes where they lie, so that the old ones are gone from its blocks; syncs.
 *
 * @param text has the length of what it replaces.
 */
export async function overwriteInPlace(path: string, text: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY);
  try {
    const bytes = Buffer.from(text);
    await file.write(bytes, 0, bytes.byteLength, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Puts a text in the place of a file's, whole or not at all; survives power loss. One writer at a time. */
export async function replaceDurably(path: string, text: string): Promise<void> {
  await makeDirectory(dirname(path));
  const unfinished = join(dirname(path), `.${basename(path)}.new`);
  await writeSynced(unfinished, text);
  await rename(unfinished, path);
  await syncDirectory(dirname(path));
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, "w", PRIVATE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a directory and those above it, each entered durably in the one above. */
async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const stop = dirname(first);
  for (let made = path; made !== stop; made = dirname(made)) await syncDirectory(dirname(made));
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

// Node's thread pool has four threads; more at once would only queue.
const AT_ONCE = 8;

/** Does work for each item, a few at once. */
export async function inTurns<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  let hasFailed = false;
  const lanes = Array.from({ length: Math.min(AT_ONCE, items.length) }, async () => {
    for (const item of rest) {
      if (hasFailed) return;
      await work(item).catch((cause: unknown) => {
        hasFailed = true;
        throw cause;
      });
    }
  });
  // All of them: none may go on writing behind the back of whoever was told that it failed.
  const ended = await Promise.allSettled(lanes);
  for (const one of ended) if (one.status === "rejected") throw one.reason;
}

/** Whether an error carries this code of the operating system. */
function isCode(cause: unknown, code: string): boolean {
  return cause instanceof Error && "code" in cause && cause.code === code;
}
