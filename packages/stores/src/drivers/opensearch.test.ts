import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { isBlocked, isOverload, mapFault, readFault } from "./opensearch-errors.ts";
import { readOpensearchSettings } from "./opensearch-settings.ts";
import { readVersion } from "./opensearch.ts";

describe("the URL of a search cluster", () => {
  test("names hosts, the prefix of the indices, and how many copies each has", () => {
    const settings = readOpensearchSettings("opensearch://a,b:9201/evidence?replicas=2");
    expect(settings.prefix).toBe("evidence");
    expect(settings.replicas).toBe(2);
    expect(settings.server.hosts).toEqual([
      { host: "a", port: 9_200 },
      { host: "b", port: 9_201 },
    ]);
    expect(readOpensearchSettings("elasticsearchs://a")).toMatchObject({
      prefix: "custody",
      server: { scheme: "elasticsearchs", tls: { isVerified: true } },
    });
  });

  test("takes an API key or a token, from a file too", async () => {
    await using home = await makeTemporaryDirectory();
    const file = join(home.path, "key");
    await writeFile(file, "c2VjcmV0\n");
    const authorizationOf = (query: string): string | undefined =>
      readOpensearchSettings(`opensearch://a?${query}`).authorization;
    expect(authorizationOf("api-key=YWJj")).toBe("ApiKey YWJj");
    expect(authorizationOf(`api-key-file=${file}`)).toBe("ApiKey c2VjcmV0");
    expect(authorizationOf(`token-file=${file}`)).toBe("Bearer c2VjcmV0");
    expect(authorizationOf("")).toBeUndefined();
  });

  test.each([
    "opensearch://a/Upper",
    "opensearch://a/two/parts",
    "opensearch://a/_hidden",
    `opensearch://a/${"x".repeat(41)}`,
    "opensearch://a?replicas=-1",
    "opensearch://a?unknown=1",
    "opensearch://u:s3cret@a?token=s3cret",
    "opensearch://a?token=s3cret%0d%0aX-Evil:1",
    "opensearch://a?token-file=/nowhere/s3cret-file",
    "http://a",
  ])("is refused where it says what cannot be: %s", (url) => {
    expect(() => readOpensearchSettings(url)).toThrow(
      expect.objectContaining({ name: "StoreError", code: "refused" }),
    );
    expect(() => readOpensearchSettings(url)).not.toThrow(/s3cret\b(?!-file)/);
  });
});

describe("the version of a search server", () => {
  const said = (number: string, distribution?: string): unknown => ({
    version: { number, ...(distribution === undefined ? {} : { distribution }) },
  });

  test("is read from its greeting, with the product", () => {
    expect(readVersion(said("2.0.0", "opensearch"))).toEqual({
      product: "OpenSearch",
      version: "2.0.0",
    });
    expect(readVersion(said("7.10.2"))).toEqual({ product: "Elasticsearch", version: "7.10.2" });
    expect(readVersion(said("9.1.0-SNAPSHOT"))).toMatchObject({ version: "9.1.0-SNAPSHOT" });
  });

  test.each([
    [
      said("1.3.19", "opensearch"),
      "OpenSearch 1.3.19 is too old for search: 2.0 or newer is needed",
    ],
    [said("7.9.3"), "Elasticsearch 7.9.3 is too old for search: 7.10 or newer is needed"],
    [said("6.8.0"), "Elasticsearch 6.8.0 is too old for search: 7.10 or newer is needed"],
  ])("is refused with what is needed when it is too old: %j", (greeting, message) => {
    expect(() => readVersion(greeting)).toThrow(
      expect.objectContaining({ code: "unsupported", message }),
    );
  });

  test("of something else is none", () => {
    for (const greeting of [undefined, "<html>", {}, { version: { number: "x" } }]) {
      expect(() => readVersion(greeting)).toThrow(
        expect.objectContaining({ code: "unavailable", retryable: true }),
      );
    }
  });
});

describe("an error of a search server", () => {
  const codeOf = (status: number, error?: object): string =>
    mapFault("search", readFault(status, error)).code;

  test.each([
    [401, { type: "security_exception" }, "unavailable"],
    [403, { type: "security_exception" }, "unavailable"],
    [404, { type: "index_not_found_exception" }, "refused"],
    [413, undefined, "limit"],
    [429, { type: "es_rejected_execution_exception" }, "unavailable"],
    [429, { type: "rejected_execution_exception" }, "unavailable"],
    [429, { type: "circuit_breaking_exception" }, "unavailable"],
    [503, { type: "circuit_breaking_exception" }, "unavailable"],
    [400, { type: "validation_exception" }, "unavailable"],
    [400, { type: "mapper_parsing_exception" }, "refused"],
    [400, { type: "strict_dynamic_mapping_exception" }, "refused"],
    [409, { type: "version_conflict_engine_exception" }, "conflict"],
    [500, { type: "exception", caused_by: { type: "corrupt_index_exception" } }, "corrupt"],
    [503, { type: "cluster_manager_not_discovered_exception" }, "unavailable"],
    [502, undefined, "unavailable"],
    [
      400,
      {
        type: "search_phase_execution_exception",
        root_cause: [{ type: "query_shard_exception" }],
        failed_shards: [{ reason: { type: "x", caused_by: { type: "too_many_clauses" } } }],
      },
      "limit",
    ],
  ])("with status %i and %j is %s", (status, error, code) => {
    expect(codeOf(status, error)).toBe(code);
  });

  test("tells too much to do from a disk that is full, though both have status 429", () => {
    const busy = readFault(429, { type: "rejected_execution_exception" });
    const full = readFault(429, { type: "cluster_block_exception" });
    expect([isOverload(busy), isBlocked(busy)]).toEqual([true, false]);
    expect([isOverload(full), isBlocked(full)]).toEqual([false, true]);
  });

  test("is told without what was sent, and with limits that an operator can change", () => {
    const secret = "failed to parse field [t0]. Preview of field's value: 's3cret'";
    const parsing = mapFault(
      "write redteam/finding",
      readFault(400, { type: "mapper_parsing_exception", reason: secret }),
    );
    expect(parsing.message).toBe(
      "the search server could not write redteam/finding (mapper_parsing_exception, status 400)",
    );
    const shards = "this action would add [2] total shards, but this cluster has [1000]/[1000]";
    expect(
      mapFault("prepare", readFault(400, { type: "validation_exception", reason: shards })).message,
    ).toContain(shards);
  });
});
