import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { checkIntakeTopic, groupPrefix, physicalTopic } from "./kafka-names.ts";
import { formatKafkaOffset, overPartitions, parseKafkaOffset } from "./kafka-offset.ts";

const a = scopeFor("tenant-a");

test("a topic of ordinary letters keeps its name below prefix and tenant", () => {
  expect(physicalTopic("custody", a, "redteam.sessions")).toBe("custody.tenant-a.redteam.sessions");
  expect(groupPrefix("custody", a)).toBe("custody.tenant-a.");
});

test("whatever a topic is called, Kafka takes the name, and takes no two for the same", () => {
  const plain = ["a.b", "a_b", "a b", "a-b", "A.b", "a..b", ".", "..", "_", "__offsets"];
  const odd = ["漢字", "漢 字", "a\0b", "a/b", "a~b", `a-x${"0".repeat(32)}`];
  const topics = [...plain, ...odd, "x".repeat(400), `${"x".repeat(399)}y`];
  const names = topics.flatMap((topic) =>
    ["tenant-a", "tenant", "_system"].map((tenant) =>
      physicalTopic("custody", scopeFor(tenant), topic),
    ),
  );
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9._-]{1,249}$/);
  // Kafka refuses a topic whose name differs from another's in dots and underscores alone.
  expect(new Set(names.map((name) => name.replaceAll("_", "."))).size).toBe(names.length);
});

test.each(["", "\ud800"])("%j is no topic", (topic) => {
  expect(() => physicalTopic("custody", a, topic)).toThrow(
    expect.objectContaining({ code: "refused" }),
  );
});

test("evidence comes from topics of others and from the tenant's own, never from another tenant's", () => {
  for (const topic of ["falco_events", "custody.tenant-a.in", "custodyx.b", "a".repeat(249)]) {
    expect(checkIntakeTopic("custody", a, topic)).toBe(topic);
  }
  const refused = [
    "custody.tenant-b.in",
    "custody.tenant-a2.in",
    "__consumer_offsets",
    ".",
    "..",
    "",
  ];
  for (const topic of [...refused, "a b", "a/b", "a".repeat(250), "custody."]) {
    expect(() => checkIntakeTopic("custody", a, topic)).toThrow(
      expect.objectContaining({ code: "refused" }),
    );
  }
});

test("an offset names each partition; one that is not named is at its beginning", () => {
  expect(parseKafkaOffset("0")).toEqual([0]);
  expect(parseKafkaOffset("3.0.12")).toEqual([3, 0, 12]);
  expect(formatKafkaOffset([3, 0, 12])).toBe("3.0.12");
  expect(overPartitions([3], 3)).toEqual([3, 0, 0]);
  expect(overPartitions([3, 4, 5], 2)).toEqual([3, 4]);
  const tooMany = Array.from({ length: 65 }, () => "1").join(".");
  for (const text of [
    "",
    ".",
    "1.",
    "1..2",
    "9007199254740992",
    "99999999999999999",
    tooMany,
    "1e3",
  ]) {
    expect(() => parseKafkaOffset(text)).toThrow(expect.objectContaining({ code: "refused" }));
  }
});
