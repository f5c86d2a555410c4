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
