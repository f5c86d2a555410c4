import { expect, test } from "vitest";

import { linesMatching, trackedFiles } from "./tracked-files.ts";

// Real documents of other systems, kept as test inputs, say what they say.
const files = trackedFiles.filter(
  ({ path }) => path !== "package-lock.json" && !path.includes("/fixtures/"),
);

test("no file names a path of somebody's machine", () => {
  const machinePath =
    /(?<![\w.~)\]}])\/(?:work|root|home\/[\w-]+|Users\/[\w-]+)\/|\b[A-Z]:\\Users\\/;
  expect(linesMatching(files, machinePath)).toEqual([]);
});

test("no file names the host of a package registry", () => {
  const registryHost =
    /\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.\w+|\/-\/[\w.-]+\.tgz\b|^\s*(?:@[\w-]+:)?registry\s*=/;
  expect(linesMatching(trackedFiles, registryHost)).toEqual([]);
});

test("no file names the registry that this machine is set to", () => {
  const registry = process.env["npm_config_registry"];
  const host = registry === undefined ? undefined : new URL(registry).host;
  const naming = trackedFiles.filter(({ text }) => host !== undefined && text.includes(host));
  expect(naming.map(({ path }) => path)).toEqual([]);
});
