import { stat } from "node:fs/promises";
import { isAbsolute, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { CoreError } from "@custody/core/errors";
import type { BlobStore } from "@custody/stores/blob/port";
import { embeddedEngine, serverEngine } from "@custody/stores/catalogue";
import type { EngineModule } from "@custody/stores/catalogue";

/** How a place is opened. */
export interface OpenPlaceOptions {
  /** What a relative path is relative to; default the process's directory. */
  readonly directory?: string;
  /** Refuses a directory that is not there, in place of making it: for those who only read. */
  readonly mustExist?: boolean;
}

/**
 * Opens a place for copies outside the data directory, by its URL: a path or `file:///…` is a
 * directory, `s3://…` a bucket. The caller closes it.
 *
 * @throws CoreError `usage` for a URL that no such place is reached by, `not-found` for a directory
 *   that must exist and does not.
 */
export async function openPlace(url: string, options: OpenPlaceOptions = {}): Promise<BlobStore> {
  const directory = directoryOf(url, options.directory);
  if (directory !== undefined) {
    if (options.mustExist === true) await requireDirectory(directory);
    return openBlobStore(embeddedEngine("blob"), { directory });
  }
  const entry = serverEngine("blob", url);
  if (entry === undefined)
    throw new CoreError(
      "usage",
      `no place for copies is reached by ${withoutSecrets(url)}; give a directory, file:///… or s3://…`,
    );
  return openBlobStore(entry, { url });
}

/** A place's URL that means the same from every directory. */
export function placeUrl(url: string, base?: string): string {
  return directoryOf(url, base) ?? url;
}

/** Whether a place is a directory inside another. */
export function isPlaceWithin(directory: string, url: string): boolean {
  const path = directoryOf(url, undefined);
  if (path === undefined) return false;
  const way = relative(resolve(directory), path);
  return way === "" || (!way.startsWith("..") && !isAbsolute(way));
}

/** A place's URL as it may be shown: without credentials and options. */
export function withoutSecrets(url: string): string {
  return url.replace(/\?.*$/s, "").replace(/\/\/[^/]*@/, "//");
}

async function openBlobStore(
  { module, open }: EngineModule,
  options: Readonly<Record<string, string>>,
): Promise<BlobStore> {
  const loaded = (await import(import.meta.resolve(`@custody/stores/${module}`))) as Record<
    string,
    ((options: Readonly<Record<string, string>>) => Promise<BlobStore>) | undefined
  >;
  const make = loaded[open];
  if (make === undefined) throw new Error(`${module} has no ${open}`);
  return make(options);
}

function directoryOf(url: string, base: string | undefined): string | undefined {
  if (url === "") throw new CoreError("usage", "a place for copies has an empty URL");
  if (/^file:/i.test(url)) {
    try {
      return fileURLToPath(url);
    } catch (cause) {
      throw new CoreError("usage", `${url} names no directory here; write file:///…`, { cause });
    }
  }
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(url) ? undefined : resolve(base ?? process.cwd(), url);
}

async function requireDirectory(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new CoreError("not-found", `there is no directory ${path}`, { at: path });
}
