import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, readdir, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

/**
 * The directory of blobs being written, beside the blobs so that a move into place is a rename. `~`
 * occurs in no key, so no blob can lie here.
 */
export const TEMPORARY_DIRECTORY = "~writing";

/** A file that is removed when disposed of, unless it was moved away. */
export interface TemporaryFile extends AsyncDisposable {
  readonly path: string;
  readonly file: FileHandle;
}

/** Makes an empty file to write a blob into. */
export async function openTemporary(root: string): Promise<TemporaryFile> {
  const directory = join(root, TEMPORARY_DIRECTORY);
  await mkdir(directory, { recursive: true });
  const path = join(directory, `${process.pid}_${processStartMs()}_${randomUUID()}`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  return {
    path,
    file,
    async [Symbol.asyncDispose]() {
      await file.close();
      await unlinkIfThere(path);
    },
  };
}

/** Removes what processes that are gone were writing; another live process's files stay. */
export async function sweepTemporaries(root: string): Promise<void> {
  const directory = join(root, TEMPORARY_DIRECTORY);
  for (const name of await readdir(directory).catch(() => [])) {
    const [pid, startMs] = name.split("_").map(Number);
    if (pid === undefined || !isWriting(pid, startMs)) await unlinkIfThere(join(directory, name));
  }
}

// The kernel's clock and the process's age differ by the process's start, in every thread of it; a
// restarted container often has the same pid again, and this tells the two apart.
const START_TOLERANCE_MS = 1_000;

function processStartMs(): number {
  return Math.round(Number(process.hrtime.bigint() / 1_000_000n) - process.uptime() * 1_000);
}

function isWriting(pid: number, startMs: number | undefined): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  if (pid === process.pid) {
    return Math.abs((startMs ?? 0) - processStartMs()) < START_TOLERANCE_MS;
  }
  try {
    return process.kill(pid, 0);
  } catch (cause) {
    // EPERM: it lives, and is another user's (kill(2)).
    return cause instanceof Error && "code" in cause && cause.code === "EPERM";
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((cause: unknown) => {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ENOENT")) throw cause;
  });
}
