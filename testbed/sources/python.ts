import { join } from "node:path";

import { runCommand } from "../command.ts";

const QUIETLY = ["--quiet", "--disable-pip-version-check", "--no-input"];

/** Installs Python packages from PyPI into a directory, without building anything. */
export async function installPythonPackages(
  directory: string,
  packages: readonly string[],
): Promise<void> {
  const into = ["--only-binary", ":all:", "--target", join(directory, "packages")];
  await runCommand("python3", ["-m", "pip", "install", ...QUIETLY, ...into, ...packages], {
    cwd: directory,
    log: join(directory, "install.log"),
  });
}
