import { join } from "node:path";

import { runCommand } from "../command.ts";

/** Installs one npm package into a directory, without scripts and without touching the checkout. */
export async function installNpmPackage(directory: string, name: string): Promise<void> {
  await runCommand(
    "npm",
    [
      "install",
      "--prefix",
      directory,
      "--no-save",
      "--no-audit",
      "--no-fund",
      "--ignore-scripts",
      name,
    ],
    // `npm run` hands its own settings down; those of the checkout are not meant for this directory.
    { cwd: directory, log: join(directory, "install.log"), environment: { INIT_CWD: directory } },
  );
}
