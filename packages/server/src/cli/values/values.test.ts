import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { parseAfter } from "./after-argument.ts";
import { filterOf, parseWhere, readJson } from "./filter-argument.ts";
import { oneOf, parseGroup, parseMeasure } from "./measure-argument.ts";
import { nodeText, parseNode } from "./node-argument.ts";
import { collectNames, parseAssignment, parseCount, parseOrder } from "./numbers-and-names.ts";
import { parseDuration, parseInstant } from "./time.ts";

const usage: unknown = expect.objectContaining({ name: "CommandError", code: "usage" });

test("durations have a unit, and nothing else is one", () => {
  expect(["1ms", "90s", "15m", "2min", "1h", "7d", "2w"].map(parseDuration)).toEqual([
    1, 90_000, 900_000, 120_000, 3_600_000, 604_800_000, 1_209_600_000,
  ]);
  for (const text of ["", "0s", "1", "h", "1.5h", "-1h", "1y", "1 h"]) {
    expect(() => parseDuration(text)).toThrow(usage);
  }
});

test("an instant is RFC 3339, a day, now, a time ago, or milliseconds", () => {
  const now = 1_795_247_728_000;
  expect(parseInstant("2026-11-21T07:55:28Z", now)).toBe(now);
  expect(parseInstant("2026-11-21", now)).toBe(Date.UTC(2026, 10, 21));
  expect(parseInstant("now", now)).toBe(now);
  expect(parseInstant("-7d", now)).toBe(now - 604_800_000);
  expect(parseInstant("1795247728000", now)).toBe(now);
  for (const text of ["", "tomorrow", "21.11.2026", "2026-13-40", "-7"]) {
    expect(() => parseInstant(text, now)).toThrow(usage);
  }
});

test("a count is a whole number from 1 on", () => {
  expect(parseCount("1")).toBe(1);
  expect(parseCount("100000")).toBe(100_000);
  for (const text of ["0", "-1", "1.5", "", "1e3", "x"]) {
    expect(() => parseCount(text)).toThrow(usage);
  }
});

test("names may be separated by commas and repeated, and none may be empty", () => {
  expect(collectNames("c", collectNames("a, b"))).toEqual(["a", "b", "c"]);
  expect(() => collectNames("a,,b")).toThrow(usage);
});

test("only the first equals sign parts a name from its value", () => {
  expect(parseAssignment("note=a=b")).toEqual(["note", "a=b"]);
  expect(parseAssignment("note=")).toEqual(["note", ""]);
  expect(() => parseAssignment("=x")).toThrow(usage);
});

test("an order goes up unless it says down", () => {
  expect(parseOrder("a.b")).toEqual({ name: "a.b", direction: "asc" });
  expect(parseOrder("a:desc")).toEqual({ name: "a", direction: "desc" });
  expect(parseOrder("a:b")).toEqual({ name: "a:b", direction: "asc" });
});

test("a condition on digits means the number and the text", () => {
  expect(parseWhere("model=helpdesk")).toEqual({ model: "helpdesk" });
  expect(parseWhere("latency_ms=120")).toEqual({ latency_ms: { $in: [120, "120"] } });
  expect(parseWhere("is_hit=true")).toEqual({ is_hit: { $in: [true, "true"] } });
  expect(parseWhere("id=007")).toEqual({ id: "007" });
  expect(parseWhere("n=9007199254740993")).toEqual({
    n: { $in: [9007199254740993n, "9007199254740993"] },
  });
});

test("every comparison has its operator, and the value may hold any character", () => {
  expect(parseWhere("a!=x")).toEqual({ a: { $ne: "x" } });
  expect(parseWhere("a!=1")).toEqual({ a: { $nin: [1, "1"] } });
  expect(parseWhere("a>=1.5")).toEqual({ a: { $gte: 1.5 } });
  expect(parseWhere("a>1")).toEqual({ a: { $gt: 1 } });
  expect(parseWhere("a<=x")).toEqual({ a: { $lte: "x" } });
  expect(parseWhere("a<x")).toEqual({ a: { $lt: "x" } });
  expect(parseWhere("a=b=c\n'; DROP")).toEqual({ a: "b=c\n'; DROP" });
  expect(() => parseWhere("model")).toThrow(usage);
});

test("a filter and conditions must all hold", async () => {
  expect(await filterOf({}, "/")).toBeUndefined();
  expect(await filterOf({ filter: '{"a":1}' }, "/")).toEqual({ a: 1 });
  expect(await filterOf({ filter: '{"a":1}', where: ["b=x"] }, "/")).toEqual({
    $and: [{ a: 1 }, { b: "x" }],
  });
});

test("a filter may come from a file, and what is no JSON is a wrong command line", async () => {
  const directory = await mkdtemp(join(tmpdir(), "custody-values-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "filter.json"), '{"n":9007199254740993}');
  expect(await readJson("--filter", "@filter.json", directory)).toEqual({ n: 9007199254740993n });
  await expect(readJson("--filter", "{a:1}", directory)).rejects.toEqual(usage);
  await expect(readJson("--filter", "@none.json", directory)).rejects.toMatchObject({
    code: "ENOENT",
  });
});

test("a measure names its function, and a column unless it counts", () => {
  expect(parseMeasure("n=count")).toEqual(["n", { fn: "count" }]);
  expect(parseMeasure("slow=p95:latency_ms")).toEqual([
    "slow",
    { fn: "p95", column: "latency_ms" },
  ]);
  expect(() => parseMeasure("slow=p95")).toThrow(usage);
  expect(() => parseMeasure("slow=avg:latency_ms")).toThrow(usage);
});

test("a group may cut instants into buckets", () => {
  expect(parseGroup("model")).toBe("model");
  expect(parseGroup("observed_at:1d")).toEqual({ column: "observed_at", bucketMs: 86_400_000 });
  expect(() => parseGroup("observed_at:day")).toThrow(usage);
});

test("an unknown word is refused with the nearest one", () => {
  expect(oneOf("mean", ["mean", "max"], "function")).toBe("mean");
  expect(() => oneOf("maen", ["mean", "max"], "function")).toThrow(
    expect.objectContaining({ code: "usage", next: "did you mean mean? Known: mean, max" }),
  );
});

test("only the first colon of a node parts label from id", () => {
  const node = parseNode("Component:pkg:npm/lodash@4.17.20");
  expect(node).toEqual({ label: "Component", id: "pkg:npm/lodash@4.17.20" });
  expect(nodeText(node)).toBe("Component:pkg:npm/lodash@4.17.20");
  for (const text of ["Component", ":x", "Component:"]) {
    expect(() => parseNode(text)).toThrow(usage);
  }
});

test("after a sequence, a receipt, or a file with one", async () => {
  const receipt = '{"tenant":"a","timeline":"t","entries":[{"sequence":3},{"sequence":5}]}';
  expect(await parseAfter("12", "/")).toBe(12);
  expect(await parseAfter(receipt, "/")).toEqual({
    tenant: "a",
    timeline: "t",
    entries: [{ sequence: 3 }, { sequence: 5 }],
  });
  for (const text of ["", "x", "{}", '{"entries":[]}', "-1"]) {
    await expect(parseAfter(text, "/")).rejects.toEqual(usage);
  }
});
