import { mkdtempSync, realpathSync, statfsSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new empty directory for a test; removed with all it holds when disposed of. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

/** Makes a {@link TemporaryDirectory} in the system's place for such. */
export async function makeTemporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "custody-test-")));
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** Linux's file system in memory, which syncs at once (tmpfs, kernel.org/doc/html/latest/filesystems/tmpfs.html). */
const SHARED_MEMORY = "/dev/shm";

/** A container may have a few MiB of it. */
const FREE_BYTES_MIN = 1024 ** 3;

/**
 * Makes a new empty directory in memory where the platform has room for one, else in the system's place for
 * temporary files; whoever made it removes it. For tests that write a lot and do not ask whether it is durable.
 */
export function makeMemoryDirectory(prefix: string): string {
  return realpathSync(mkdtempSync(join(memoryPlace(), prefix)));
}

function memoryPlace(): string {
  try {
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    return bavail * bsize >= FREE_BYTES_MIN ? SHARED_MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}
