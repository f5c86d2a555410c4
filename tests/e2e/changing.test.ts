import { spawn } from "node:child_process";
import { join } from "node:path";

import { expect, test } from "vitest";

import { describeChanging } from "./changing-suite.ts";
import { CHECKOUT, makeInstallation } from "./custody-process.ts";
import type { Ended } from "./custody-process.ts";

describeChanging(makeInstallation);

test("without a data directory the command line says how to make one", async () => {
  const custody = await makeInstallation();
  const { exitCode, errors } = await custody.run(["status"]);
  expect(exitCode).toBe(2);
  expect(errors).toContain("custody init");
});

test("the installed command starts, and hands its exit code on", { timeout: 60_000 }, async () => {
  const launcher = join(CHECKOUT, "packages/server/bin/custody.mjs");
  const ended = await new Promise<Ended>((resolve) => {
    const child = spawn(process.execPath, [launcher, "fnid"], { stdio: "pipe" });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString("utf8");
    });
    child.once("close", (exitCode) => resolve({ exitCode, output: "", errors }));
  });
  expect(ended).toEqual({
    exitCode: 2,
    output: "",
    errors: "custody: unknown command 'fnid'\n  Did you mean find?\n",
  });
});
