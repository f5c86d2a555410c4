import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** Where the demonstration keeps what it makes. */
export interface DemoDirectory {
  readonly path: string;
  readonly data: string;
  readonly keyFile: string;
  /** The copy that a byte is altered in. */
  readonly copy: string;
  readonly proof: string;
  readonly gitLog: string;
}

const MARKER = "custody-demo.json";

/**
 * Makes the directory, or empties one that an earlier demonstration made.
 *
 * @throws Error when there is something else in it.
 */
export async function prepareDirectory(path: string): Promise<DemoDirectory> {
  const places: DemoDirectory = {
    path,
    data: join(path, "data"),
    keyFile: join(path, "demo.key"),
    copy: join(path, "copy"),
    proof: join(path, "proof.json"),
    gitLog: join(path, "this-repository.gitlog"),
  };
  await mkdir(path, { recursive: true });
  const isOurs = existsSync(join(path, MARKER));
  if (!isOurs && (await readdir(path)).length > 0) {
    throw new Error(`${path} is not empty and no demonstration made it; name another directory`);
  }
  const { data, keyFile, copy, proof, gitLog } = places;
  for (const made of [data, keyFile, copy, proof, gitLog]) {
    await rm(made, { recursive: true, force: true });
  }
  await writeFile(join(path, MARKER), '{"madeBy":"npm run demo"}\n');
  return places;
}

/** A path as the reader would write it from where they stand. */
export function shownPath(path: string): string {
  const way = relative(process.cwd(), path);
  return way.startsWith("..") ? path : `./${way}`;
}
