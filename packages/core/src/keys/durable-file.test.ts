import { expect, test } from "vitest";

import { inTurns } from "./durable-file.ts";

test("work that fails is told when nothing is under way any more, and nothing is begun after it", async () => {
  const begun: number[] = [];
  let isUnderWay = 0;
  const failed = inTurns(
    Array.from({ length: 1_000 }, (_, item) => item),
    async (item) => {
      begun.push(item);
      isUnderWay += 1;
      // The others of its round end after it.
      for (let turn = 0; turn < item; turn += 1) await Promise.resolve();
      isUnderWay -= 1;
      if (item === 0) throw new Error("item 0 failed, says the test");
    },
  );
  await expect(failed).rejects.toThrow("item 0 failed, says the test");
  expect(isUnderWay).toBe(0);
  expect(begun.length).toBeLessThan(100);
});
