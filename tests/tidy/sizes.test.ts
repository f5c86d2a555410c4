import { expect, test } from "vitest";

import { isTestPath, sourceFiles } from "./tracked-files.ts";

const LINES_MAX = 400;
const TEST_LINES_MAX = 600;

test(`a source has at most ${LINES_MAX} lines, a test ${TEST_LINES_MAX}`, () => {
  const tooLong = sourceFiles
    .map(({ path, text }) => ({
      path,
      lines: text.trimEnd().split("\n").length,
      max: isTestPath(path) ? TEST_LINES_MAX : LINES_MAX,
    }))
    .filter(({ lines, max }) => lines > max);
  expect(tooLong.map(({ path, lines, max }) => `${path}: ${lines} lines, at most ${max}`)).toEqual(
    [],
  );
});
