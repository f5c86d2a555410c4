import { expect, test } from "vitest";

import { chooseEngine } from "./open-stores.ts";

test("a role without a URL is played by its embedded engine", () => {
  expect(chooseEngine("search", {})).toMatchObject({ entry: { engine: "sqlite" } });
});

test.each([
  ["relational", "postgresql://db/custody", "postgresql"],
  ["document", "mongodb+srv://db/custody", "mongodb"],
  ["series", "timescale://db/custody", "postgresql"],
  ["series", "influxdb://db/custody", "influxdb"],
  ["search", "elasticsearchs://db", "opensearch"],
  ["analytics", "clickhouse://db", "clickhouse"],
  ["graph", "neo4j+s://db", "neo4j"],
  ["blob", "s3://bucket/prefix", "s3"],
  ["cache", "redis://db", "redis"],
  ["queue", "rediss://db", "bullmq"],
  ["stream", "kafka://one,two", "kafka"],
] as const)("the %s role at %s is played by %s", (role, url, engine) => {
  expect(chooseEngine(role, { [role]: url })).toMatchObject({ entry: { role, engine }, url });
});

test("a URL of another product is refused with those that the role knows, and not repeated", () => {
  expect(() => chooseEngine("graph", { graph: "mysql://ana:secret@db" })).toThrow(
    expect.objectContaining({
      code: "usage",
      message: "no engine of the graph role is reached by that URL; it knows neo4j://… for Neo4j",
    }),
  );
});
