import { readdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";

import type { LadybugHost } from "../drivers/ladybug-host.ts";
import type { LadybugFile } from "../drivers/ladybug.ts";
import { ASIDE, removeAsides, setFileAside } from "../drivers/set-aside.ts";
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

/** The graph files of one tenant, each a handle from its first use on. */
export class LadybugFiles {
  readonly #options: LadybugFilesOptions;
  readonly #used = new Map<string, Used>();

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
    for (const path of await this.#asides(key)) removeAsides(path);
  }

  /** Sets a damaged file aside; answers its new name, `undefined` when `file` is not in use any more. */
  async setAside(
    key: FileKey,
    { file, atMs }: { readonly file: LadybugFile; readonly atMs: number },
  ): Promise<string | undefined> {
    const used = this.#used.get(keyText(key));
    if (used?.file !== file) return undefined;
    this.#used.delete(keyText(key));
    await this.#options.host.letGo(used.path);
    const target = setFileAside(used.path, await this.#beside(used.path), atMs);
    return target === undefined ? undefined : basename(target);
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
      .filter((name) => name.startsWith(`${file}.`) && !name.startsWith(`${file}${ASIDE}`))
      .map((name) => name.slice(file.length));
  }

  /** Paths from under which files of a collection were set aside. */
  async #asides(key: FileKey): Promise<readonly string[]> {
    const files = await this.#files(true);
    const names = files
      .filter((file) => keyText(file.key) === keyText(key) && file.name.includes(ASIDE))
      .map(({ name }) => name.slice(0, name.indexOf(ASIDE)));
    return [...new Set(names)].map((name) => join(this.#options.directory, name));
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
