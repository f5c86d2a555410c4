import { spawn } from "node:child_process";
import { access, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { CHECKOUT } from "./custody-process.ts";

interface Told {
  readonly exitCode: number | null;
  readonly text: string;
}

const MAIN = join(CHECKOUT, "packages/server/src/demo/main.ts");
const FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];

function runDemo(directory: string): Promise<Told> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...FLAGS, MAIN, directory], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    const collect = (chunk: Buffer): void => {
      text += chunk.toString("utf8");
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, text }));
  });
}

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "custody-demo-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

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
