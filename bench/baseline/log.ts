import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { constants, zstdCompressSync } from "node:zlib";

import type { RawOptions, RawStore } from "./raw-store.ts";

/** The log: a zstd frame of JSON Lines for each batch, synced before the next. */
export function openRawLog({ directory }: RawOptions): RawStore<Uint8Array> {
  const file = openSync(join(directory, "log.jsonl.zst"), "w");
  const params = { [constants.ZSTD_c_compressionLevel]: 1 };
  return {
    write(bytes) {
      writeSync(file, zstdCompressSync(bytes, { params }));
      fdatasyncSync(file);
    },
    close: () => closeSync(file),
  };
}
