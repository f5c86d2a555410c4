import { mkdir } from "node:fs/promises";

import { findCommand, readCommand } from "./command.ts";
import type { ServiceUser } from "./engine.ts";

const NAME = "custody-engines";

/**
 * The user to run an engine as that refuses to run as root; made when missing. `undefined` when the
 * testbed does not run as root, as it then runs everything as itself.
 */
export async function serviceUser(): Promise<ServiceUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const find = async (): Promise<ServiceUser> => ({
    uid: Number(await readCommand("id", ["-u", NAME])),
    gid: Number(await readCommand("id", ["-g", NAME])),
  });
  return await find().catch(async () => {
    if ((await findCommand("useradd")) === undefined) {
      throw new Error("PostgreSQL does not run as root, and there is no useradd to make a user");
    }
    await readCommand("useradd", [
      "--system",
      "--no-create-home",
      "--shell",
      "/usr/sbin/nologin",
      NAME,
    ]);
    return await find();
  });
}

/** Makes a directory that every user may enter, as the service user has to. */
export async function makeOpenDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 });
}
