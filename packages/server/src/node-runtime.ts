import { randomBytes } from "node:crypto";
import { userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import { zstdCodec } from "@custody/core/journal/format/codec";
import type { Runtime } from "@custody/core/runtime";

import { diskSpaceOf } from "./disk-space.ts";

/**
 * The real world: the system's clock, randomness, timers and user.
 *
 * @param dataDirectory whose disks are watched; none when left out.
 */
export function nodeRuntime(dataDirectory?: string): Runtime {
  return {
    clock: () => Date.now(),
    random: (length) => randomBytes(length),
    sleep: async (ms, signal) => {
      // An aborted wait ends early and is no failure.
      await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    },
    codec: zstdCodec,
    user: `os:${userInfo().username}`,
    ...(dataDirectory === undefined ? {} : { space: () => diskSpaceOf(dataDirectory) }),
  };
}
