import { access, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { runDemo, temporaryDirectory } from "./demo-process.ts";

test(
  "all that the demonstration says holds, and it leaves the data to go on with",
  {
    timeout: 180_000,
  },
  async () => {
    const directory = join(await temporaryDirectory(), "demo");
    const { exitCode, text } = await runDemo(directory);
    expect(text).not.toContain("NOT TRUE");
    expect(text).toMatch(/\b19 of 19 checks held/);
    expect(text).toContain("npx custody status");
    expect(exitCode).toBe(0);
    await access(join(directory, "data", "journal.sqlite"));
  },
);

test("the demonstration touches no directory that another made", async () => {
  const directory = await temporaryDirectory();
  await writeFile(join(directory, "thesis.txt"), "the only copy");
  const { exitCode, text } = await runDemo(directory);
  expect(exitCode).toBe(1);
  expect(text).toContain("no demonstration made it");
  expect(await readdir(directory)).toEqual(["thesis.txt"]);
});
