import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/** Lets at most `places` pieces of work run at a time; others wait their turn. */
export function turns(places: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let free = places;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}

/**
 * Runs work while no other process on this machine works on the same directory.
 *
 * The lock is a socket in Linux' abstract namespace: the kernel frees it when its holder ends, however
 * that ends, so there is no stale lock to clean up.
 */
export async function whileLocked<Result>(
  directory: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const name = `\0custody-engines-${createHash("sha256").update(directory).digest("hex")}`;
  let release = await tryLock(name);
  while (release === undefined) {
    await pause(200);
    release = await tryLock(name);
  }
  try {
    return await work();
  } finally {
    release();
  }
}

async function tryLock(path: string): Promise<(() => void) | undefined> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen({ path }, () => resolve(() => server.close()));
  });
}
