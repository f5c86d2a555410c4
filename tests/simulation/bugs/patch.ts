/** A file that a patch changes, as a unified diff says it. */
export interface FilePatch {
  /** Below the root of the sources. */
  readonly path: string;
  /** The lines of each hunk, with the mark that a line begins with: ` `, `-` or `+`. */
  readonly hunks: readonly (readonly string[])[];
}

/** Reads a unified diff. Line numbers are left out of account: sources move on, the text around stays. */
export function parsePatch(text: string): readonly FilePatch[] {
  return text
    .split(/^--- .*\n(?=\+\+\+ )/m)
    .slice(1)
    .map((part) => {
      const [head = "", ...hunks] = part.split(/^@@ .*\n/m);
      const path = /^\+\+\+ b\/(.*)$/m.exec(head)?.[1] ?? "";
      // An editor may have taken the space of an empty line that stays.
      const marked = hunks.map((hunk) => hunk.split("\n").slice(0, -1));
      return {
        path,
        hunks: marked.map((lines) => lines.map((line) => (line === "" ? " " : line))),
      };
    });
}

/**
 * Changes a file's text as a patch says. Where the text around has changed, its outermost lines are
 * left out of account one after the other, as `patch` does it.
 *
 * @throws Error when what the patch would change is not there, or there more than once.
 */
export function applyPatch(text: string, { path, hunks }: FilePatch): string {
  return hunks.reduce((now, hunk) => {
    for (const lines of ofLessAndLessContext(hunk)) {
      const before = textOf(lines, "-");
      const places = now.split(before).length - 1;
      if (places > 1) throw new Error(`${path} has ${places} places such as\n${before}`);
      if (places === 1) return now.replace(before, () => textOf(lines, "+"));
    }
    throw new Error(`${path} has no place such as\n${textOf(hunk, "-")}`);
  }, text);
}

/** The hunk, and what is left of it when one line more of its context goes from each end. */
function* ofLessAndLessContext(hunk: readonly string[]): Generator<readonly string[]> {
  const isContext = (line: string | undefined): boolean => line?.startsWith(" ") === true;
  let lines = hunk;
  for (;;) {
    yield lines;
    const from = isContext(lines[0]) ? 1 : 0;
    const to = isContext(lines.at(-1)) ? -1 : lines.length;
    const less = lines.slice(from, to);
    const isChangeLeft = less.length < lines.length && less.some((line) => !line.startsWith("+"));
    if (!isChangeLeft) return;
    lines = less;
  }
}

function textOf(lines: readonly string[], mark: "-" | "+"): string {
  return lines
    .filter((line) => line.startsWith(" ") || line.startsWith(mark))
    .map((line) => `${line.slice(1)}\n`)
    .join("");
}
