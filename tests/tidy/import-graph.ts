import { posix } from "node:path";

import type { TrackedFile } from "./tracked-files.ts";

/** One import, export-from, dynamic import or worker URL of a source. */
export interface Import {
  readonly from: string;
  readonly specifier: string;
  /** The file of this repository that is meant, or `undefined` for a package or a Node module. */
  readonly target: string | undefined;
  readonly isTypeOnly: boolean;
}

const STATEMENT =
  /(?:^|\n)\s*(import|export)\s+(type\s)?(?:[^"'`;]*?\sfrom\s+)?["']([^"'\n]+)["']/g;
const EXPRESSION =
  /\bimport\(\s*["'`]([^"'`\n]+)["'`]|\bnew URL\(\s*["'`](\.[^"'`\n]+\.(?:ts|m?js))["'`]/g;
const COMMENT_LINE = /^\s*(\/\/|\/\*|\*).*$/gm;

/** Everything that a source imports, types included. */
export function importsOf({ path, text }: TrackedFile): Import[] {
  const code = text.replaceAll(COMMENT_LINE, "");
  const statements = [...code.matchAll(STATEMENT)].map(([, , type, specifier = ""]) => ({
    specifier,
    isTypeOnly: type !== undefined,
  }));
  const expressions = [...code.matchAll(EXPRESSION)].map(([, imported, url]) => ({
    specifier: imported ?? url ?? "",
    isTypeOnly: false,
  }));
  return [...statements, ...expressions].map(({ specifier, isTypeOnly }) => ({
    from: path,
    specifier,
    target: targetOf(path, specifier),
    isTypeOnly,
  }));
}

/** The package a path of this repository lies in: `stores` for `packages/stores/src/errors.ts`. */
export function packageOf(path: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(path)?.[1];
}

function targetOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  const ours = /^@custody\/([^/]+)\/(.+)$/.exec(specifier);
  return ours === null ? undefined : `packages/${ours[1]}/src/${ours[2]}.ts`;
}
