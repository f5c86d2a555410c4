// The user "nobody" of most Unix systems.
const NOBODY = 65_534;

/** Runs work as a user without special rights, so that file modes bind even where tests run as root. */
export async function withoutPrivileges<Result>(work: () => Promise<Result>): Promise<Result> {
  if (process.getuid?.() !== 0) return await work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
