import { randomUUID } from "node:crypto";

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { RawNeo4j } from "../testing/raw-neo4j.ts";
import { scopeFor } from "../testing/scope.ts";
import { TestJournal, collection, scope } from "./conformance-fixture.ts";
import { makeBatch } from "../record-batch.ts";
import { openNeo4jGraph } from "./neo4j.ts";
import type { GraphStore } from "./port.ts";

const STATEMENTS = 40;
const AT_ONCE = 6;

const oneOf = (...texts: string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
const parts = (...all: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...all).map((texts) => texts.join(""));

const label = oneOf("", ":Host", ":host", ":Service", ":Host|Service", ":!Service", ":%", ":Flaw");
const filter = oneOf("", " {id: 'shared'}", " {id: 'b1'}", " {id: $id}", " {os: 'linux'}");
// Neo4j has no such expressions as `!RUNS` where there are several steps.
const types = fc.oneof(
  oneOf("", ":LINKS", ":LINKS|RUNS", ":RUNS|:AFFECTS", ":!RUNS", ":(LINKS|RUNS)&!RUNS"),
  oneOf("*1..2", ":LINKS*0..1", ":LINKS|RUNS* TRAIL 1..2", ":RUNS|:AFFECTS*2"),
);
const gap = oneOf("", " ", "/* ( */", "\n// (n\n");

const edge = fc
  .tuple(oneOf("-", "<-"), types, oneOf("-", "->"), gap)
  .filter(([left, , right]) => left !== "<-" || right !== "->")
  .map(([left, type, right, space]) => `${left}[${type}]${right}${space}`);
const anonymous = parts(oneOf("("), label, filter, oneOf(")"));
const named = (...names: string[]) => parts(oneOf("("), oneOf(...names), label, filter, oneOf(")"));
const path = (node: fc.Arbitrary<string>) =>
  fc
    .tuple(
      node,
      fc.array(fc.tuple(edge, fc.oneof(node, anonymous)), { minLength: 1, maxLength: 2 }),
    )
    .map(([first, rest]) => [first, ...rest.flat()].join(""));

const term = fc.oneof(
  oneOf(
    "n.id = 'b1'",
    "n.id = $id",
    "n.id IN $ids",
    "n.id STARTS WITH ('b')",
    "n.os IS NOT NULL",
    "true",
    "(n:Host)",
  ),
  parts(oneOf("EXISTS { MATCH "), path(named("m")), oneOf(" WHERE m.id = 'b1' }", " }")),
  parts(oneOf("EXISTS { "), path(anonymous), oneOf(" }")),
  parts(oneOf("COUNT { "), path(named("n", "m2")), oneOf(" } >= 0")),
  path(anonymous),
  path(oneOf("(n)")),
);
const condition = fc
  .tuple(oneOf("", "NOT "), term, oneOf(" AND ", " OR ", " XOR "), term)
  .map((texts) => ` WHERE ${texts.join("")}`);

const column = fc.oneof(
  oneOf("n.id", "n", "labels(n)", "label(n)", "keys(n)", "n._records", "startNode(null)"),
  parts(oneOf("["), path(named("x")), oneOf(" | x.id]", " WHERE x.id = 'b1' | x.id]")),
  parts(oneOf("COLLECT { MATCH "), path(named("y")), oneOf(" RETURN y.id }")),
  parts(oneOf("COUNT { "), anonymous, oneOf(" }")),
  parts(oneOf("size([p = "), path(anonymous), oneOf(" | length(p)])")),
);

const statement = fc
  .tuple(
    oneOf("MATCH ", "OPTIONAL MATCH ", "UNWIND [1, 2] AS one MATCH ", "MATCH (q), "),
    fc.oneof(named("n"), path(named("n"))),
    fc.oneof(oneOf(""), condition),
    fc.oneof(oneOf(""), parts(oneOf(" OPTIONAL MATCH "), path(named("n", "z")))),
    fc.oneof(oneOf(""), parts(oneOf(" WITH DISTINCT n"), condition)),
    oneOf(" RETURN ", " RETURN DISTINCT "),
    fc.array(column, { minLength: 1, maxLength: 2 }),
  )
  .map(([...clauses]) => {
    const columns = (clauses.pop() as string[]).map((text, index) => `${text} AS c${index}`);
    return clauses.join("") + columns.join(", ");
  });

// Each tries to reach `b1`, which is another tenant's; it may be refused, or find nothing.
const ATTACKS = [
  "MATCH (n) WHERE n.id = 'b1' RETURN n.id",
  "MATCH (n) RETURN COLLECT { MATCH (m) RETURN m.id } AS c",
  "MATCH (n) RETURN [(m)-[k]->(o) | m.id + o.id] AS c",
  "MATCH (n) WHERE EXISTS { ({id: 'b1'}) } RETURN 'b' + '1'",
  "MATCH (n) WHERE (:Host {id: 'b1'})-->() RETURN 'b' + '1'",
  "OPTIONAL MATCH (x {id: 'b1'}) RETURN x.id",
  "RETURN '\\u0027 AS x UNION MATCH (x) RETURN x.id //'",
  "RETURN '\\\\u0027 AS x UNION MATCH (x) RETURN x.id //'",
  "RETURN 1 AS `\\u0060 UNION MATCH (x) RETURN x.id //`",
  "MATCH (n:`Host) MATCH (m`) RETURN m.id",
  "MATCH (n:Host|$('Host')) RETURN n.id",
  "MATCH (n:$all(['Host'])) RETURN n.id",
  "MATCH (n) RETURN n.id UNION ALL MATCH (n:%) RETURN n.id",
  "MATCH (a)–[k]–(b) RETURN b.id",
  "MATCH (a)-[k]-\u00AD(b) RETURN b.id",
  "MATCH ((a)-[k]-(b)){1,2} RETURN [x IN b | x.id] AS c",
  "MATCH (a)-[k]-{1,2}(b) RETURN b.id",
  "MATCH SHORTEST 1 (a)-[k]-+(b) RETURN b.id",
  "MATCH p = allShortestPaths((a)-[*..2]-(b)) RETURN nodes(p)",
  "MATCH (n) WHERE elementId(n) <> '' RETURN n.id",
  "MATCH (n) WHERE id(n) >= 0 RETURN n.id",
  "MATCH (n) CALL (n) { MATCH (m) RETURN m } RETURN m.id",
  "MATCH (n) CALL db.labels() YIELD label RETURN label",
  "USE neo4j MATCH (n) RETURN n.id",
  "MATCH (n) USING SCAN n:Host RETURN n.id",
  "CYPHER 25 MATCH (n) RETURN n.id",
  "PROFILE MATCH (n) RETURN n.id",
  "SHOW INDEXES",
  "MATCH (n) RETURN graph.names()",
  "MATCH (n) RETURN apoc.cypher.runFirstColumnMany('MATCH (m) RETURN m.id', {})",
  "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row",
  "MATCH (n) RETURN n.id, `elementId`(n)",
  "MATCH (n IS Host) RETURN n.id",
  "MATCH (match) RETURN match.id",
  "WITH 1 AS starts WITH starts MATCH (n) RETURN n.id",
  "WITH {match: 1} AS m MATCH (n) WHERE m.match = 1 RETURN n.id",
  "MATCH (n) WHERE n.id =~ '.*' AND (n)-[]-() RETURN n.id",
  "MATCH (n) RETURN CASE WHEN true THEN [(x)--(y) | y.id] END AS c",
  "MATCH (n) RETURN all(x IN [(u)-->(v) | v.id] WHERE x <> 'b1') AS c",
  "MATCH (n) RETURN reduce(s = 0, x IN [(u)-->(v) | v.id] | s + size(x)) AS c",
  "RETURN {a: size([(u)-->(v) | v.id])} AS c",
  "RETURN [1, 2][COUNT { (n) } - COUNT { (m) }] AS c",
];

describeOnServer("neo4j", (server) => {
  const installation = serverName(randomUUID());
  const raw = new RawNeo4j(server);
  let store: GraphStore;
  beforeAll(async () => {
    store = await openNeo4jGraph({ url: `${server}/${installation}` });
    await store.prepare(scope, collection);
    await new TestJournal().deliver(store, [
      { type: "test/host", id: "1", fields: { name: "shared", os: "linux", services: ["ssh"] } },
      { type: "test/link", id: "2", fields: { from: "shared", to: "a1" } },
      { type: "test/link", id: "3", fields: { from: "a1", to: "a2" } },
      { type: "test/link", id: "4", fields: { from: "a2", to: "a2" } },
    ]);
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await raw.drop(installation);
    await raw.drop(`${installation}x`);
    await raw[Symbol.asyncDispose]();
  });

  const answer = async (text: string): Promise<string> => {
    const request = { statement: text, parameters: PARAMETERS, rowsMax: 10_000, timeMs: 10_000 };
    try {
      const { rows } = await store.query(scope, collection, request);
      return JSON.stringify(ordered(rows));
    } catch (error) {
      if (error instanceof StoreError && error.code === "refused") return "refused";
      throw new Error(text, { cause: error });
    }
  };

  const answers = async (statements: readonly string[]): Promise<string[]> => {
    const all: string[] = [];
    for (let start = 0; start < statements.length; start += AT_ONCE) {
      const some = statements.slice(start, start + AT_ONCE);
      all.push(...(await Promise.all(some.map((text) => answer(text)))));
    }
    return all;
  };

  test(
    "no statement's answer changes with what other tenants, generations and installations hold",
    { timeout: 120_000 },
    async () => {
      const seed = Date.now() % 1_000_000;
      const statements = [...ATTACKS, ...fc.sample(statement, { numRuns: STATEMENTS, seed })];
      const alone = await answers(statements);
      await fillOthers(server, installation);
      const beside = await answers(statements);
      for (const [index, text] of statements.entries()) {
        expect(beside[index], `seed ${seed}: ${text}`).toBe(alone[index]);
        expect(beside[index], `seed ${seed}: ${text}`).not.toMatch(/b1|custody_|_label|_id/);
      }
      const generated = alone.slice(ATTACKS.length);
      const answered = generated.filter((text) => text !== "refused").length;
      expect(answered / STATEMENTS, `seed ${seed}`).toBeGreaterThan(0.8);
    },
  );
});

/** Rows, and lists within them, come in any order. */
function ordered(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const text = (one: unknown): string => JSON.stringify(one);
  return value.map(ordered).sort((left, right) => (text(left) < text(right) ? -1 : 1));
}

const PARAMETERS = { id: "b1", ids: ["b1", "shared"] };

/** Three graphs beside the one that is asked: of another tenant, generation and installation. */
async function fillOthers(server: string, installation: string): Promise<void> {
  const others = [
    [installation, scopeFor("tenant-b"), 1],
    [installation, scope, 2],
    [`${installation}x`, scope, 1],
  ] as const;
  const host = { name: "b1", os: "linux", services: ["ssh", "b1"] };
  const texts = [host, { ...host, name: "shared" }].map((fields) => JSON.stringify(fields));
  const links = ["shared", "b1", "a1"].map((from) => JSON.stringify({ from, to: "b1" }));
  const records = (all: readonly string[]) =>
    all.map((text, index) => ({ id: `${index}`, sequence: 1, text }));
  for (const [name, of, generation] of others) {
    await using store = await openNeo4jGraph({ url: `${server}/${name}` });
    const batches = [
      makeBatch("test/host", records(texts)),
      makeBatch("test/link", records(links)),
    ];
    await store.apply(of, { ...collection, generation }, { batches, checkpoint: 1 });
  }
}
