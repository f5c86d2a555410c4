import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { openLadybugFile } from "../drivers/ladybug.ts";
import type { LadybugFile } from "../drivers/ladybug.ts";
import { mapFileError } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";

/** Which build of which collection a file holds. */
export type FileKey = Pick<Collection<unknown>, "name" | "generation">;

export interface LadybugFilesOptions {
  /** The tenant's directory: files are `<collection>-<generation>-<build>.lbug` in it. */
  readonly directory: string;
  readonly bufferPoolBytes: number;
  readonly sizeMax: number;
}

// LadybugDB keeps state by path, so a path once discarded is not used again in this process.
const discarded = new Set<string>();

/**
 * The graph files of one tenant, each opened at its first use. A discarded file's successor gets the
 * next build number.
 */
export class LadybugFiles {
  readonly #options: LadybugFilesOptions;
  readonly #open = new Map<string, Promise<LadybugFile>>();

  constructor(options: LadybugFilesOptions) {
    this.#options = options;
  }

  /** The collection's file, or `undefined` when it was never made. */
  async find(key: FileKey): Promise<LadybugFile | undefined> {
    const open = this.#open.get(keyText(key));
    if (open !== undefined) return await open;
    const build = (await this.#builds(key)).at(-1);
    return build === undefined ? undefined : await this.#openOnce(key, build);
  }

  /** The collection's file, made where there is none. */
  async make(key: FileKey): Promise<LadybugFile> {
    const found = await this.find(key);
    if (found !== undefined) return found;
    let build = 1;
    while (discarded.has(this.#path(key, build))) build += 1;
    return await this.#openOnce(key, build);
  }

  /** Closes the collection's file and removes it; what does not exist is no error. */
  async discard(key: FileKey): Promise<void> {
    const open = this.#open.get(keyText(key));
    this.#open.delete(keyText(key));
    if (open !== undefined) await (await open).close();
    for (const build of await this.#builds(key)) {
      const path = this.#path(key, build);
      discarded.add(path);
      // The log last: without its file it means nothing.
      for (const ending of ["", ".shadow", ".tmp", ".wal"]) {
        await fileCall(`discard ${path}`, () => rm(`${path}${ending}`, { force: true }));
      }
    }
  }

  /** Every collection that has a file. */
  async keys(): Promise<readonly FileKey[]> {
    const keys = new Map<string, FileKey>();
    for (const { key } of await this.#files()) keys.set(keyText(key), key);
    return [...keys.values()];
  }

  /** Bytes on disk. */
  async bytes(): Promise<number> {
    const { directory } = this.#options;
    let bytes = 0;
    for (const { name } of await this.#files(true)) {
      bytes += await stat(join(directory, name)).then(
        ({ size }) => size,
        () => 0,
      );
    }
    return bytes;
  }

  async close(): Promise<void> {
    const files = [...this.#open.values()];
    this.#open.clear();
    for (const file of files) await (await file).close();
  }

  async #openOnce(key: FileKey, build: number): Promise<LadybugFile> {
    const { bufferPoolBytes, sizeMax } = this.#options;
    const path = this.#path(key, build);
    const opened = openLadybugFile({ path, bufferPoolBytes, sizeMax });
    this.#open.set(keyText(key), opened);
    try {
      return await opened;
    } catch (cause) {
      this.#open.delete(keyText(key));
      throw cause;
    }
  }

  async #builds(key: FileKey): Promise<readonly number[]> {
    const files = await this.#files();
    return files
      .filter((file) => keyText(file.key) === keyText(key))
      .map(({ build }) => build)
      .sort((left, right) => left - right);
  }

  async #files(
    isLogIncluded = false,
  ): Promise<readonly { readonly name: string; readonly key: FileKey; readonly build: number }[]> {
    const { directory } = this.#options;
    const names = await fileCall(`list ${directory}`, () =>
      readdir(directory).catch((cause: unknown) => {
        if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
        throw cause;
      }),
    );
    return names.flatMap((name) => {
      const [, collection, generation, build, ending] =
        /^([a-z0-9_.]+)-(\d+)-(\d+)\.lbug(\..+)?$/.exec(name) ?? [];
      if (collection === undefined || (ending !== undefined && !isLogIncluded)) return [];
      const key = { name: collection.replaceAll(".", "/"), generation: Number(generation) };
      return [{ name, key, build: Number(build) }];
    });
  }

  #path({ name, generation }: FileKey, build: number): string {
    const file = `${name.replaceAll("/", ".")}-${generation}-${build}.lbug`;
    return join(this.#options.directory, file);
  }
}

function keyText({ name, generation }: FileKey): string {
  const isFine =
    /^[a-z0-9_]{1,63}(?:\/[a-z0-9_]{1,63})?$/.test(name) && Number.isSafeInteger(generation);
  if (isFine && generation >= 0) return `${name} ${generation}`;
  throw new StoreError("refused", `not a collection: ${JSON.stringify(name)} ${generation}`);
}

async function fileCall<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw mapFileError(doing, cause);
  }
}
