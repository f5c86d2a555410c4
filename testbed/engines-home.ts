import { homedir } from "node:os";
import { join, resolve } from "node:path";

// PostgreSQL refuses to run as root and is started as a user of its own, who must be able to reach
// its files: root's home is closed to others, this is not.
const ROOT_HOME = "/var/cache/custody-engines";

/**
 * The directory outside the checkout where engines are kept: programs, data, logs, states.
 *
 * `CUSTODY_ENGINES_HOME`; else for root a directory that every user can reach; else the user's cache.
 */
export function enginesHome(
  environment: Readonly<Record<string, string | undefined>>,
  userId: number | undefined,
): string {
  const { CUSTODY_ENGINES_HOME: given, XDG_CACHE_HOME: caches } = environment;
  if (given !== undefined && given !== "") return resolve(given);
  if (userId === 0) return ROOT_HOME;
  const cache = caches === undefined || caches === "" ? join(homedir(), ".cache") : caches;
  return join(cache, "custody-engines");
}
