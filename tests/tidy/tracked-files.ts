import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One file of the repository: its path from the root, with forward slashes, and its text. */
export interface TrackedFile {
  readonly path: string;
  readonly text: string;
}

/** Every text file that is committed or would be, by `git add`; binary files are left out. */
export const trackedFiles: readonly TrackedFile[] = readTrackedFiles();

/** The sources: TypeScript and plain JavaScript modules. */
export const sourceFiles: readonly TrackedFile[] = trackedFiles.filter(({ path }) =>
  /\.(ts|tsx|mjs|js)$/.test(path),
);

/** True for files that only tests load: tests, conformance suites and what they share. */
export function isTestPath(path: string): boolean {
  return /\.test\.tsx?$|(^|\/)conformance[^/]*(\.ts|\/)|(^|\/)testing\/|^tests\//.test(path);
}

/** `path:line: text` of every line that `pattern` matches. */
export function linesMatching(files: readonly TrackedFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
}

function readTrackedFiles(): TrackedFile[] {
  // A checkout may belong to another user, as in a container; listing its files is harmless.
  const list = execFileSync(
    "git",
    ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    { cwd: ROOT, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  const paths = [...new Set(list.split("\0"))].filter((path) => path !== "").toSorted();
  return paths.flatMap((path) => {
    const file = join(ROOT, path);
    if (!existsSync(file)) return [];
    const bytes = readFileSync(file);
    return bytes.includes(0) ? [] : [{ path, text: bytes.toString("utf8") }];
  });
}
