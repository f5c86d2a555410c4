import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";

import { runCommand } from "../command.ts";

/** Downloads packages of the Debian release this machine runs, and unpacks them into a directory; needs no root. */
export async function unpackDebianPackages(
  directory: string,
  packages: readonly string[],
): Promise<void> {
  const archives = join(directory, "archives");
  await mkdir(archives);
  // As root, apt downloads as its own user without rights.
  await chmod(archives, 0o777);
  const log = join(directory, "install.log");
  await runCommand("apt-get", ["download", ...packages], { cwd: archives, log });
  for (const file of await readdir(archives)) {
    await runCommand("dpkg-deb", ["-x", join(archives, file), join(directory, "root")], {
      cwd: directory,
      log,
    });
  }
}

/** The environment in which unpacked programs find the libraries that were unpacked with them. */
export async function unpackedLibraries(dist: string): Promise<Readonly<Record<string, string>>> {
  const libraries = join(dist, "root", "usr", "lib");
  const triplets = (await readdir(libraries)).filter((name) => name.includes("-linux-gnu"));
  return { LD_LIBRARY_PATH: triplets.map((name) => join(libraries, name)).join(":") };
}
