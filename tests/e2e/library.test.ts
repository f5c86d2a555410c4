import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { CHECKOUT } from "./custody-process.ts";

test("the example of the library's page runs as it stands", { timeout: 60_000 }, async () => {
  const page = await readFile(join(CHECKOUT, "docs/how-to/use-the-library.md"), "utf8");
  const [, code = ""] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
  const directory = await mkdtemp(join(tmpdir(), "custody-library-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, "example.ts");
  await writeFile(file, code);
  await symlink(join(CHECKOUT, "node_modules"), join(directory, "node_modules"));
  const flags = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
  const child = spawn(process.execPath, [...flags, file], {
    cwd: directory,
    env: {},
    stdio: "pipe",
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
    });
  }
  const exitCode = await new Promise((resolve) => child.once("close", resolve));
  expect(output.replace(/^write this down: .*\n/, "")).toBe(
    "1 record, read at entry 1\n1 records verified: unaltered\n",
  );
  expect(exitCode).toBe(0);
});
