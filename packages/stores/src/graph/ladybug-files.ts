import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";

import type { LadybugHost } from "../drivers/ladybug-host.ts";
import type { LadybugFile } from "../drivers/ladybug.ts";
import { mapFileError } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";

/** Which build of which collection a file holds. */
export type FileKey = Pick<Collection<unknown>, "name" | "generation">;

export interface LadybugFilesOptions {
  /** The tenant's directory: files are `<collection>-<generation>-<build>.lbug` in it. */
  readonly directory: string;
  readonly host: LadybugHost;
}

interface Used {
  readonly path: string;
  readonly file: LadybugFile;
}

// Damaged files kept for whoever wants to know why; older ones go.
const BROKEN_MAX = 2;
// A graph is replaced so often while its tenant's files stay open; a record, or a full disk, that crashes
// LadybugDB every time must not go on for ever.
const REPLACED_MAX = 3;

/** The graph files of one tenant, each a handle from its first use on. */
export class LadybugFiles {
  readonly #options: LadybugFilesOptions;
  readonly #used = new Map<string, Used>();
  /** How often each collection's file was set aside. */
  readonly #replaced = new Map<string, number>();

  constructor(options: LadybugFilesOptions) {
    this.#options = options;
  }

  /** The collection's file, or `undefined` when it was never made. */
  async find(key: FileKey): Promise<LadybugFile | undefined> {
    const used = this.#used.get(keyText(key));
    if (used !== undefined) return used.file;
    const build = (await this.#builds(key)).at(-1);
    return build === undefined ? undefined : this.#use(key, build);
  }

  /** The collection's file, made where there is none. */
  async make(key: FileKey): Promise<LadybugFile> {
    const found = await this.find(key);
    if (found !== undefined) return found;
    const path = this.#path(key, 1);
    // A crash between removing a file and its log must not leave the log to the file's successor.
    await this.#removeBeside(path);
    return this.#use(key, 1);
  }

  /** Removes the collection's file and what was set aside; what does not exist is no error. */
  async discard(key: FileKey): Promise<void> {
    this.#used.delete(keyText(key));
    for (const build of await this.#builds(key)) {
      const path = this.#path(key, build);
      await this.#options.host.letGo(path);
      await this.#remove(path);
      await this.#removeBeside(path);
    }
    for (const { name } of await this.#broken(key)) {
      await this.#remove(join(this.#options.directory, name));
    }
  }

  /**
   * Renames a damaged file to `<name>.broken-<n>`, so that an empty one takes its place. Answers its
   * new path; `undefined` when `file` is not in use any more, as somebody else did it.
   *
   * @throws cause when the file's successors broke too: it is not the file then.
   */
  async setAside(
    key: FileKey,
    { file, cause }: { readonly file: LadybugFile; readonly cause: StoreError },
  ): Promise<string | undefined> {
    const used = this.#used.get(keyText(key));
    if (used?.file !== file) return undefined;
    const replaced = this.#replaced.get(keyText(key)) ?? 0;
    if (replaced >= REPLACED_MAX) throw cause;
    this.#replaced.set(keyText(key), replaced + 1);
    this.#used.delete(keyText(key));
    await this.#options.host.letGo(used.path);
    const broken = await this.#broken(key);
    const number = (broken.at(-1)?.number ?? 0) + 1;
    const target = `${used.path}.broken-${number}`;
    // The file first: a log without it is removed by `make`, but it would be replayed into a file alone.
    const beside = await this.#beside(used.path);
    for (const ending of ["", ...beside]) {
      await fileCall(`set ${used.path} aside`, () =>
        rename(`${used.path}${ending}`, `${target}${ending}`),
      );
    }
    for (const old of broken) {
      if (old.number <= number - BROKEN_MAX) {
        await this.#remove(join(this.#options.directory, old.name));
      }
    }
    return target;
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

  /** Says that the files are not needed for now. */
  async close(): Promise<void> {
    const used = [...this.#used.values()];
    this.#used.clear();
    for (const { path } of used) await this.#options.host.release(path);
  }

  #use(key: FileKey, build: number): LadybugFile {
    const path = this.#path(key, build);
    const file = this.#options.host.file(path);
    this.#used.set(keyText(key), { path, file });
    return file;
  }

  async #remove(path: string): Promise<void> {
    await fileCall(`remove ${path}`, () => rm(path, { force: true }));
  }

  async #removeBeside(path: string): Promise<void> {
    for (const ending of await this.#beside(path)) await this.#remove(`${path}${ending}`);
  }

  /** Endings of what LadybugDB wrote beside a file (logs, pages); without the file it means nothing. */
  async #beside(path: string): Promise<readonly string[]> {
    const file = basename(path);
    const names = await this.#names();
    return names
      .filter((name) => name.startsWith(`${file}.`) && !name.startsWith(`${file}.broken-`))
      .map((name) => name.slice(file.length));
  }

  /** Names of what was set aside, with its logs, the oldest first. */
  async #broken(key: FileKey): Promise<readonly { name: string; number: number }[]> {
    const files = await this.#files(true);
    return files
      .filter((file) => keyText(file.key) === keyText(key))
      .map(({ name }) => ({ name, number: Number(/\.broken-(\d+)/.exec(name)?.[1] ?? 0) }))
      .filter(({ number }) => number > 0)
      .sort((left, right) => left.number - right.number);
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
    const names = await this.#names();
    return names.flatMap((name) => {
      const [, collection, generation, build, ending] =
        /^([a-z0-9_.]+)-(\d+)-(\d+)\.lbug(\..+)?$/.exec(name) ?? [];
      if (collection === undefined || (ending !== undefined && !isLogIncluded)) return [];
      const key = { name: collection.replaceAll(".", "/"), generation: Number(generation) };
      return [{ name, key, build: Number(build) }];
    });
  }

  async #names(): Promise<readonly string[]> {
    const { directory } = this.#options;
    return await fileCall(`list ${directory}`, () =>
      readdir(directory).catch((cause: unknown) => {
        if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
        throw cause;
      }),
    );
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
