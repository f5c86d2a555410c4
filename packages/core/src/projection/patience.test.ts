import { StoreError } from "@custody/stores/errors";
import { expect, test } from "vitest";

import { CoreError } from "../errors.ts";
import { zstdCodec } from "../journal/format/codec.ts";
import type { Runtime } from "../runtime.ts";
import { patiently } from "./patience.ts";

const damaged = new CoreError("failed", "the projection stopped", {
  cause: new CoreError("damaged", "a segment's trailer"),
});
const away = new StoreError("unavailable", "away, says the test");

/** Work that fails so, and how often it was tried until it was done or left. */
async function triesOf(failures: readonly Error[]): Promise<{ tries: number; pauses: number[] }> {
  const pauses: number[] = [];
  const runtime: Runtime = {
    clock: () => 0,
    random: (length) => new Uint8Array(length),
    sleep: async (ms) => void pauses.push(ms),
    codec: zstdCodec,
    user: "os:test",
  };
  let tries = 0;
  const { signal } = new AbortController();
  await patiently({ runtime, signal }, async () => {
    const failure = failures[tries];
    tries += 1;
    if (failure !== undefined) throw failure;
  });
  return { tries, pauses };
}

test("what was misread is read again, with growing pauses", async () => {
  expect(await triesOf([damaged, damaged])).toEqual({ tries: 3, pauses: [25, 50] });
});

test("what is misread ten times is left, and seen where it failed", async () => {
  const { tries } = await triesOf(Array.from({ length: 100 }, () => damaged));
  expect(tries).toBe(10);
});

test("a store that is away is waited for however long it takes", async () => {
  const { tries, pauses } = await triesOf(Array.from({ length: 100 }, () => away));
  expect([tries, pauses.at(-1)]).toEqual([101, 15_000]);
});

test("any other failure is left at once", async () => {
  expect(await triesOf([new CoreError("failed", "refused by the store")])).toEqual({
    tries: 1,
    pauses: [],
  });
});
