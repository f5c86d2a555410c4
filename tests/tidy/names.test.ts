import { basename } from "node:path";
import { expect, test } from "vitest";

import { isTestPath, linesMatching, sourceFiles, trackedFiles } from "./tracked-files.ts";

const NAMELESS = new Set(["utils", "util", "helpers", "helper", "common", "shared", "misc"]);
const NAMELESS_FILES = new Set([...NAMELESS, "base", "manager"]);

const paths = (files: readonly { readonly path: string }[]): string[] =>
  files.map(({ path }) => path);

test("a module is named after what it is, not utils, helpers, common or manager", () => {
  const nameless = sourceFiles.filter(({ path }) => {
    const words = basename(path).split(".")[0]?.split("-") ?? [];
    const folders = path.split("/").slice(0, -1);
    return (
      words.some((word) => NAMELESS.has(word)) ||
      NAMELESS_FILES.has(words.at(-1) ?? "") ||
      folders.some((folder) => NAMELESS_FILES.has(folder))
    );
  });
  expect(paths(nameless)).toEqual([]);
});

test("an index.ts exists only where a package's exports name it", () => {
  const exported = trackedFiles
    .filter(({ path }) => /^packages\/[^/]+\/package\.json$/.test(path))
    .filter(({ text }) => text.includes('"./src/index.ts"'))
    .map(({ path }) => path.replace("package.json", "src/index.ts"));
  const stray = sourceFiles.filter(
    ({ path }) => /(^|\/)index\.\w+$/.test(path) && !exported.includes(path),
  );
  expect(paths(stray)).toEqual([]);
});

test("exports have names; only configuration files have a default export", () => {
  const files = sourceFiles.filter(({ path }) => !/\.config\.\w+$/.test(path));
  expect(linesMatching(files, /^export default\b|^export \* from\b|\bas default\b/)).toEqual([]);
});

test("no test asks to be run alone, and none is left out", () => {
  const tests = sourceFiles.filter(({ path }) => isTestPath(path));
  expect(linesMatching(tests, /\b(?:test|it|describe)\.(?:only|skip|todo)\(/)).toEqual([]);
});

test("a note to do something later names its issue", () => {
  const note = new RegExp(String.raw`\b(?:${["TO", "DO|FIX", "ME|XX", "X"].join("")})\b(?!.*#\d+)`);
  expect(linesMatching(sourceFiles, note)).toEqual([]);
});
