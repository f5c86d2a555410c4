import { opendir } from "node:fs/promises";
import { join } from "node:path";

import { KEY_GROUPS, keyGroup } from "./key-pack.ts";

const SUFFIX = ".json";
const SECRET_KINDS: ReadonlySet<string> = new Set(["subjects", "originals"]);

/**
 * The names of all keys of a keyring by their group, every group with an entry. Names are held at
 * once, some 100 bytes each; the keys are not read.
 */
export async function listKeyNames(directory: string): Promise<ReadonlyMap<string, string[]>> {
  const groups = new Map<string, string[]>();
  for (let group = 0; group < KEY_GROUPS; group += 1)
    groups.set(group.toString(16).padStart(2, "0"), []);
  const add = (name: string): void => void groups.get(keyGroup(name))?.push(name);
  for await (const tenant of entriesOf(directory)) {
    if (!tenant.isDirectory) continue;
    for await (const found of entriesOf(join(directory, tenant.name))) {
      if (found.isDirectory && SECRET_KINDS.has(found.name))
        await addSecrets(directory, `${tenant.name}/${found.name}`, add);
      else if (isKeyFile(found.name)) add(`${tenant.name}/${keyName(found.name)}`);
    }
  }
  return groups;
}

/** The file of a key by its name. */
export function keyPath(directory: string, name: string): string {
  return `${join(directory, name)}${SUFFIX}`;
}

async function addSecrets(
  directory: string,
  folder: string,
  add: (name: string) => void,
): Promise<void> {
  for await (const { name } of entriesOf(join(directory, folder)))
    if (isKeyFile(name)) add(`${folder}/${keyName(name)}`);
}

/** Unfinished files of writers begin with a dot. */
function isKeyFile(name: string): boolean {
  return name.endsWith(SUFFIX) && !name.startsWith(".");
}

function keyName(file: string): string {
  return file.slice(0, -SUFFIX.length);
}

async function* entriesOf(
  directory: string,
): AsyncGenerator<{ readonly name: string; readonly isDirectory: boolean }> {
  const entries = await opendir(directory, { bufferSize: 256 }).catch((cause: unknown) => {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  });
  if (entries === undefined) return;
  for await (const entry of entries) yield { name: entry.name, isDirectory: entry.isDirectory() };
}
