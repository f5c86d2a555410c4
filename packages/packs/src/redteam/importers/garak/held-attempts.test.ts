import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";

import { expect, test } from "vitest";

import { HeldAttempts } from "./held-attempts.ts";

const spills = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith("custody-import-"));

test("rows beyond the memory's bound wait in a sealed file and come back as they were", () => {
  const before = new Set(spills());
  {
    using held = new HeldAttempts(10);
    held.hold("a", { line: 1, text: "in memory" });
    held.hold("b", { line: 2, text: "on disk é 💥" });
    held.hold("c", { line: 3, text: "on disk too" });
    held.hold("b", { line: 4, text: "on disk, newer" });
    expect(spills().filter((name) => !before.has(name))).toHaveLength(1);
    expect(held.release("a")).toBe(true);
    expect(held.release("a")).toBe(false);
    expect([...held.drain()]).toEqual([
      ["c", { line: 3, text: "on disk too" }],
      ["b", { line: 4, text: "on disk, newer" }],
    ]);
    expect([...held.drain()]).toEqual([]);
  }
  expect(spills().filter((name) => !before.has(name))).toEqual([]);
});

test("a row that fits is kept in memory alone", () => {
  const before = spills().length;
  using held = new HeldAttempts(10);
  held.hold("a", { line: 1, text: "0123456789" });
  expect(spills()).toHaveLength(before);
  held.hold("b", { line: 2, text: "x" });
  expect([...held.drain()].map(([key]) => key)).toEqual(["a", "b"]);
});
