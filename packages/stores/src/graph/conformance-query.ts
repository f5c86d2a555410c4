import { beforeEach, expect, test } from "vitest";

import { TestJournal, collection, scope, storedRows } from "./conformance-fixture.ts";
import type { CurrentGraph } from "./conformance-fixture.ts";
import type { CypherAnswer, CypherRequest } from "./port.ts";

/** That read-only Cypher is answered within bounds, and everything else refused. */
export function describeGraphQuery(current: CurrentGraph): void {
  beforeEach(async () => {
    const journal = new TestJournal();
    await journal.deliver(current().store, [
      { type: "test/host", id: "1", fields: { name: "a", os: "linux", services: ["ssh"] } },
      { type: "test/link", id: "2", fields: { from: "a", to: "b" } },
      { type: "test/link", id: "3", fields: { from: "b", to: "c" } },
    ]);
  });

  const query = async (
    statement: string,
    options: Partial<CypherRequest> = {},
  ): Promise<CypherAnswer> =>
    await current().store.query(scope, collection, {
      statement,
      rowsMax: 100,
      timeMs: 10_000,
      ...options,
    });

  test("a statement answers its columns and rows, and the checkpoint it was read at", async () => {
    expect(await query("MATCH (n:Host) RETURN n.id AS id, n.os ORDER BY id;")).toEqual({
      columns: ["id", "n.os"],
      rows: [
        ["a", "linux"],
        ["b", null],
        ["c", null],
      ],
      isTruncated: false,
      checkpoint: 3,
    });
  });

  test("nodes, edges and paths are answered without bookkeeping", async () => {
    const { rows } = await query(
      "MATCH p = (n:Host)-[k:LINKS]->(m:Host) WHERE n.id = 'a' RETURN n, k, p",
    );
    const a = { label: "Host", id: "a", properties: { os: "linux", tags: [] } };
    const edge = { type: "LINKS", records: 1 };
    const b = { label: "Host", id: "b", properties: {} };
    expect(rows).toEqual([[a, edge, { nodes: [a, b], edges: [edge] }]]);
  });

  test("counts over everything count records' nodes and edges only", async () => {
    expect((await query("MATCH (n) RETURN count(*)")).rows).toEqual([[4]]);
    expect((await query("MATCH ()-[k]->() RETURN count(*)")).rows).toEqual([[3]]);
  });

  test("parameters are values, whatever they contain", async () => {
    const injection = "a' OR true //";
    const statement = "MATCH (n:Host) WHERE n.id = $id RETURN n.id";
    expect((await query(statement, { parameters: { id: "a" } })).rows).toEqual([["a"]]);
    expect((await query(statement, { parameters: { id: injection } })).rows).toEqual([]);
    const list = "MATCH (n:Host) WHERE n.id IN $ids RETURN n.id ORDER BY n.id";
    expect((await query(list, { parameters: { ids: ["a", "c", "x"] } })).rows).toEqual([
      ["a"],
      ["c"],
    ]);
    await expect(query(statement, { parameters: {} })).rejects.toMatchObject({ code: "refused" });
    await expect(query(statement, { parameters: { "id}": "a" } })).rejects.toMatchObject({
      code: "refused",
    });
  });

  test.each([
    "MATCH (n) SET n.os = 'x'",
    "CREATE (n:Host {id: 'x'})",
    "MERGE (n:Host {id: 'x'}) RETURN n",
    "MATCH (n) DETACH DELETE n",
    "MATCH (n:Host) /* RETURN */ delete n",
    "MATCH (n) REMOVE n.os",
    "DROP TABLE Host",
    "ALTER TABLE Host ADD x STRING",
    "COPY (MATCH (n:Host) RETURN n.id) TO 'out.csv'",
    "MATCH (n) RETURN n.id; COPY Host TO 'out.csv'",
    "LOAD FROM 'in.csv' RETURN *",
    "MATCH (n) CALL show_tables() RETURN *",
    "CALL show_tables() RETURN *",
    "CALL threads = 64",
    "EXPORT DATABASE 'x'",
    "IMPORT DATABASE 'x'",
    "ATTACH 'x' AS y (dbtype duckdb)",
    "INSTALL json",
    "LOAD EXTENSION json",
    "BEGIN TRANSACTION",
    "COMMIT",
    "CHECKPOINT",
    "EXPLAIN MATCH (n) RETURN n",
    "MATCH (n) RETURN n; MATCH (n) RETURN n",
    "UNWIND range(1, 100000000) AS x RETURN x",
    "RETURN repeat('x', 1000000000)",
    "MATCH (n)-[*]->(m) RETURN m",
    "MATCH (n)-[k:LINKS*]->(m) RETURN m",
    "MATCH (n)-[k:LINKS*2..]->(m) RETURN m",
    "MATCH (n)<-[:LINKS|RUNS* TRAIL]-(m) RETURN m",
    "MATCH (n)-/* */[*SHORTEST]-(m) RETURN m",
    "MATCH (n) WHERE EXISTS { MATCH (n)-[*]->() } RETURN n",
    "MATCH (n) RETURN 'unclosed",
    "MATCH (n) RETURN 1 /* unclosed",
    "MATCH (n) RETURN n.id AS x, n.os AS x",
    "",
    ";",
    "// nothing",
    "not cypher at all",
    "RETURN no_such_function(1)",
    "MATCH (n:NoSuchLabel) RETURN n",
  ])("refused, with nothing changed: %s", async (statement) => {
    const { store } = current();
    const before = await storedRows(store);
    await expect(query(statement)).rejects.toMatchObject({ name: "StoreError", code: "refused" });
    expect(await storedRows(store)).toEqual(before);
    expect((await query("MATCH (n:Host) RETURN count(*)")).rows).toEqual([[3]]);
  });

  test.each([
    ["RETURN 'MATCH (n) DELETE n; -[*]->' AS t", [["MATCH (n) DELETE n; -[*]->"]]],
    ['RETURN "it\'s; CREATE" AS t', [["it's; CREATE"]]],
    ["RETURN 'a\\'; DROP' AS t", [["a'; DROP"]]],
    ["RETURN 1 AS `delete; create`", [[1]]],
    ["RETURN 1 // ; DROP TABLE Host", [[1]]],
    ["RETURN /* CREATE */ 2", [[2]]],
    ["RETURN 2 * 3 AS x", [[6]]],
    ["WITH {set: 1} AS m RETURN m.set", [[1]]],
    ["MATCH (a:Host)-[:LINKS*1..2]->(b:Host) RETURN a.id + b.id AS x ORDER BY x", "ab ac bc"],
    ["MATCH (a)-[:LINKS*2]->(b) RETURN a.id + b.id AS x", "ac"],
    ["MATCH (a)-[:LINKS* TRAIL ..2]->(b) RETURN a.id + b.id AS x ORDER BY x", "ab ac bc"],
  ])("allowed, as it only looks dangerous: %s", async (statement, expected) => {
    const rows =
      typeof expected === "string" ? expected.split(" ").map((cell) => [cell]) : expected;
    expect((await query(statement)).rows).toEqual(rows);
  });

  test.each([
    ["MATCH (n:Host) WHERE n.id = 'a' RETURN label(n)", [["Host"]]],
    ["MATCH (:Host)-[k:RUNS]->() RETURN label(k)", [["RUNS"]]],
    ["MATCH (n:host) WHERE n.Id = 'a' RETURN n.OS, n._records, n._sequence", [["linux", 2, 1]]],
    ["MATCH (n:Host|Service) RETURN n.id ORDER BY n.id", [["a"], ["b"], ["c"], ["ssh"]]],
    ["MATCH (n:Host:Service) RETURN n.id ORDER BY n.id", [["a"], ["b"], ["c"], ["ssh"]]],
    ["MATCH (n:Host {id: 'a'}) RETURN n.os", [["linux"]]],
    ["MATCH (n:Host) WHERE n.id = 'a' OR n.id = 'b' RETURN n.id ORDER BY n.id", [["a"], ["b"]]],
    ["MATCH (n:Host) WHERE NOT n.id = 'a' AND n.id <> 'b' RETURN n.id", [["c"]]],
    ["OPTIONAL MATCH (n:Host) WHERE n.id = 'x' RETURN n.id", [[null]]],
    ["MATCH (n:Host) WHERE EXISTS { MATCH (n)-[:RUNS]->() } RETURN n.id", [["a"]]],
    ["MATCH (n:Host) WHERE (n)-[:RUNS]->() RETURN n.id", [["a"]]],
    ["MATCH (n:Host) WHERE n.id = 'a' RETURN COUNT { MATCH (n)-[]->() } AS c", [[2]]],
    ["MATCH p = (n:Host)-[:LINKS*2]->(m) RETURN length(p), size(rels(p)), size(nodes(p))", "2 2 3"],
    [
      "MATCH (n:Host) WITH n.os AS os, count(*) AS c RETURN os, c ORDER BY c",
      [
        ["linux", 1],
        [null, 2],
      ],
    ],
    ["MATCH (n:Service) RETURN *", [[{ label: "Service", id: "ssh", properties: {} }]]],
    ["MATCH (n:Host) WHERE n.seen < timestamp('2026-01-01') RETURN n.id", []],
    ["MATCH (n:Host) RETURN n.id LIMIT 0", []],
  ])("a question is answered the same by every engine: %s", async (statement, expected) => {
    const rows = typeof expected === "string" ? [expected.split(" ").map(Number)] : expected;
    expect((await query(statement)).rows).toEqual(rows);
  });

  test.each([
    "MATCH (n:Host) RETURN n._id",
    "MATCH (n:Host) RETURN n._label",
    "MATCH (n:Host) RETURN n._key",
    "MATCH (n:Host) RETURN n.nosuch",
    "MATCH (n:Host) RETURN properties(n)",
    "MATCH (n:Host) RETURN n {.*}",
    "MATCH (n:Host) RETURN n['_id']",
    "MATCH ()-[k]->() RETURN k._src",
    "MATCH ()-[k:NoSuchType]->() RETURN k",
  ])("what is the store's own, or nobody's, is refused: %s", async (statement) => {
    await expect(query(statement)).rejects.toMatchObject({ name: "StoreError", code: "refused" });
  });

  test("a plan is told in steps, without running the statement", async () => {
    const { store } = current();
    const request = {
      statement: "MATCH (n:Host)-[:LINKS]->(m) WHERE n.id = $id RETURN m.id",
      parameters: { id: "a" },
      rowsMax: 1,
      timeMs: 10_000,
    };
    const plan = await store.explain(scope, collection, request);
    expect(plan.length).toBeGreaterThan(1);
    for (const step of plan) expect(step).toMatch(/^ *[A-Z][^\n]*$/);
    const other = { ...collection, generation: 9 };
    expect(await store.explain(scope, other, request)).toEqual([]);
    await expect(
      store.explain(scope, collection, { ...request, statement: "MATCH (n) DETACH DELETE n" }),
    ).rejects.toMatchObject({ code: "refused" });
  });

  test("rows at the limit are whole, one row over is cut off and said so", async () => {
    const statement = "MATCH (n:Host) RETURN n.id ORDER BY n.id";
    expect(await query(statement, { rowsMax: 3 })).toMatchObject({
      rows: [["a"], ["b"], ["c"]],
      isTruncated: false,
    });
    expect(await query(statement, { rowsMax: 2 })).toMatchObject({
      rows: [["a"], ["b"]],
      isTruncated: true,
    });
    const { rowsMax } = current().store.limits;
    await expect(query(statement, { rowsMax: rowsMax + 1 })).rejects.toMatchObject({
      code: "limit",
    });
  });

  test("patterns at the depth limit are answered, one step more is refused", async () => {
    const { depthMax } = current().store.limits;
    const statement = (depth: number): string =>
      `MATCH (a:Host)-[:LINKS*1..${depth}]->(b:Host) RETURN count(*)`;
    expect((await query(statement(depthMax))).rows).toEqual([[3]]);
    await expect(query(statement(depthMax + 1))).rejects.toMatchObject({ code: "limit" });
  });

  test("a statement that takes too long is ended, and the next is answered", async () => {
    const { store } = current();
    const journal = new TestJournal();
    journal.sequence = 3;
    const records = Array.from({ length: 400 }, (_, index) => `{"name":"n${index}"}`);
    await journal.deliverBulk(store, "test/host", records);
    const many =
      "MATCH (a:Host), (b:Host), (c:Host), (d:Host) RETURN count(a.id < b.id + c.id + d.id)";
    await expect(query(many, { timeMs: 50 })).rejects.toMatchObject({
      name: "StoreError",
      code: "limit",
    });
    expect((await query("MATCH (n:Host) RETURN count(*)")).rows).toEqual([[403]]);
  });

  test("whole numbers beyond 2^53 are answered exactly where they were kept exactly", async () => {
    const { rows } = await query("RETURN $big AS big", { parameters: { big: 2n ** 60n + 1n } });
    expect(rows).toEqual([[1_152_921_504_606_846_977n]]);
  });

  test("a reader sees the graph as it was when its statement began, also while a delivery is written", async () => {
    const { store } = current();
    const journal = new TestJournal();
    journal.sequence = 3;
    const texts = Array.from({ length: 2_000 }, (_, index) => `{"name":"w${index}"}`);
    const writing = journal.deliverBulk(store, "test/host", texts);
    const seen = new Set<string>();
    let isWriting = true;
    const written = writing.finally(() => (isWriting = false));
    while (isWriting) {
      const { rows, checkpoint } = await query("MATCH (n:Host) RETURN count(*)");
      seen.add(JSON.stringify([checkpoint, rows[0]?.[0]]));
    }
    await written;
    for (const state of seen) expect(["[3,3]", "[4,2003]"]).toContain(state);
  });
}
