import { expect, test } from "vitest";

import { trackedFiles } from "./tracked-files.ts";

interface LockEntry {
  readonly resolved?: string;
  readonly link?: boolean;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lockText = trackedFiles.find(({ path }) => path === "package-lock.json")?.text ?? "";
const { packages } = JSON.parse(lockText) as { packages: Record<string, LockEntry> };
const entries = Object.entries(packages);

test("the lock names no host", () => {
  const withHost = entries.filter(
    ([, { resolved, link }]) => resolved !== undefined && link !== true,
  );
  expect(withHost.map(([place]) => place)).toEqual([]);
  expect(lockText).not.toMatch(/"resolved": "[a-z+]+:/);
});

test("whatever is always installed is locked by its hash", () => {
  const unlocked = entries.filter(
    ([place, { integrity, link, optional }]) =>
      place.includes("node_modules/") && link !== true && optional !== true && !integrity,
  );
  expect(unlocked.map(([place]) => place)).toEqual([]);
});

test("the lock has every optional platform package, so that `npm ci` takes it everywhere", () => {
  const present = new Set(entries.map(([place]) => place.split("node_modules/").at(-1)));
  const missing = entries
    .flatMap(([, { optionalDependencies }]) => Object.keys(optionalDependencies ?? {}))
    .filter((name) => !present.has(name));
  expect(missing, "run `npm run lock`").toEqual([]);
});
