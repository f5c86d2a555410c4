import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

import type { BlobInfo } from "./port.ts";
import { TEMPORARY_DIRECTORY } from "./temporary-files.ts";

/** Lists files below `root` as blobs whose key begins with `prefix`, in code-unit order of their keys. */
export async function listBlobs(
  root: string,
  prefix: string,
  limit: number,
  after = "",
): Promise<readonly BlobInfo[]> {
  const found: BlobInfo[] = [];
  if (limit < 1) return found;
  for await (const key of walk(root, "", { prefix, after })) {
    const info = await lookAt(root, key);
    if (info !== undefined) found.push(info);
    if (found.length >= limit) break;
  }
  return found;
}

/** Counts the files below `root` and their bytes. */
export async function measureBlobs(
  root: string,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  let [blobs, bytes] = [0, 0];
  for await (const key of walk(root, "", { prefix: "", after: "" })) {
    const info = await lookAt(root, key);
    if (info === undefined) continue;
    blobs += 1;
    bytes += info.bytes;
  }
  return { blobs, bytes };
}

interface Window {
  readonly prefix: string;
  readonly after: string;
}

// One directory's names are held at a time; symbolic links are neither file nor directory here.
async function* walk(root: string, above: string, window: Window): AsyncGenerator<string> {
  const entries = await readdir(join(root, above), { withFileTypes: true }).catch(absent);
  const names = entries
    .filter(
      (entry) => entry.isFile() || (entry.isDirectory() && entry.name !== TEMPORARY_DIRECTORY),
    )
    // A directory sorts as the keys within it do: `a-b`, then `a/…`, then `a0`.
    .map((entry) => `${above}${entry.name}${entry.isDirectory() ? "/" : ""}`)
    .filter((key) => isWithin(key, window))
    .sort();
  for (const key of names) {
    if (key.endsWith("/")) yield* walk(root, key, window);
    else yield key;
  }
}

function isWithin(key: string, { prefix, after }: Window): boolean {
  if (key.endsWith("/")) {
    const mayMatch = key.startsWith(prefix) || prefix.startsWith(key);
    return mayMatch && (key > after || after.startsWith(key));
  }
  return key.startsWith(prefix) && key > after;
}

async function lookAt(root: string, key: string): Promise<BlobInfo | undefined> {
  try {
    const { size, mtimeMs } = await lstat(join(root, key));
    return { key, bytes: size, modifiedAt: Math.trunc(mtimeMs) };
  } catch (cause) {
    absent(cause);
    return undefined;
  }
}

/** What vanished while it was walked over was deleted: nothing to list. */
function absent(cause: unknown): [] {
  if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
  throw cause;
}
