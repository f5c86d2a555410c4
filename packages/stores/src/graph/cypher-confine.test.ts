import { describe, expect, test } from "vitest";

import { confineCypher } from "./cypher-confine.ts";
import { guardCypher } from "./cypher-guard.ts";
import { collection } from "./conformance-fixture.ts";
import { graphModel } from "./graph-model.ts";

const model = graphModel(collection.placements);

function confine(statement: string): string {
  const guarded = guardCypher(statement, { depthMax: 16, lengthMax: 65_536 });
  return confineCypher(guarded, { label: "Own", model, keyParameters: new Set(["id", "ids"]) });
}

describe("every node pattern gets the graph's label", () => {
  test.each([
    ["MATCH (n) RETURN n", "MATCH (n:Own) RETURN n"],
    ["MATCH () RETURN 1", "MATCH (:Own) RETURN 1"],
    [
      "MATCH (a:Host)-[k:LINKS*1..2]->(:Service|Host)--() RETURN a",
      "MATCH (a:Own&(Host))-[k:LINKS*1..2]->(:Own&(Service|Host))--(:Own) RETURN a",
    ],
    ["MATCH (n:!Host&%) RETURN n", "MATCH (n:Own&(!Host&%)) RETURN n"],
    ["MATCH (n WHERE n.os = 'x') RETURN n", "MATCH (n:Own WHERE n.os = 'x') RETURN n"],
    [
      "MATCH p = shortestPath((a)-[*..3]-(b)) RETURN p",
      "MATCH p = shortestPath((a:Own)-[*..3]-(b:Own)) RETURN p",
    ],
    [
      "MATCH (n) WHERE NOT (n)-->() OR EXISTS { (n)<--(:Host) } RETURN 1",
      "MATCH (n:Own) WHERE NOT (n:Own)-->(:Own) OR EXISTS { (n:Own)<--(:Own&(Host)) } RETURN 1",
    ],
    [
      "RETURN COUNT { MATCH (n) WHERE (n)--() } + COUNT { (m) } AS c",
      "RETURN COUNT { MATCH (n:Own) WHERE (n:Own)--(:Own) } + COUNT { (m:Own) } AS c",
    ],
    [
      "RETURN [p = (a)-->(b) WHERE a.os = 'x' | b.id] AS c UNION MATCH (c) RETURN c",
      "RETURN [p = (a:Own)-->(b:Own) WHERE a.os = 'x' | b.id] AS c UNION MATCH (c:Own) RETURN c",
    ],
  ])("%s", (statement, expected) => {
    expect(confine(statement)).toBe(expected);
  });
});

describe("what is no pattern stays as it is, without comments", () => {
  test.each([
    ["RETURN (1) - 1, (2)-(3), ((4))", "RETURN (1) - 1, (2)-(3), ((4))"],
    ["RETURN '(n)-->(m)' /* (n) */ AS x // (n)", "RETURN '(n)-->(m)' AS x"],
    [
      "RETURN 1.5e3 + .5, [1, 2][0..1], {match: 1}.match",
      "RETURN 1.5e3 + .5, [1, 2][0..1], {match: 1}.match",
    ],
  ])("%s", (statement, expected) => {
    expect(confine(statement)).toBe(expected);
  });
});

describe("what shows the store's own names shows them no more", () => {
  test.each([
    [
      "MATCH (n)-[k]-() RETURN labels(n), label(k), label(n) AS l",
      "MATCH (n:Own)-[k]-(:Own) RETURN [_shown IN labels(n) WHERE NOT _shown IN ['Own']] AS `labels(n)`, type(k) AS `label(k)`, (n._label) AS l",
    ],
    [
      "MATCH (n:host) WITH n AS m RETURN m.os, label(m) AS l",
      "MATCH (n:Own&(Host)) WITH n AS m RETURN m.os, CASE WHEN m IS :: RELATIONSHIP THEN type(m) ELSE m._label END AS l",
    ],
  ])("%s", (statement, expected) => {
    expect(confine(statement)).toBe(expected);
  });
});

describe("a node's id is compared by its key where that is the same", () => {
  test.each([
    ["n.id = 'a'", "n._id = 'a' AND n._label IS NOT NULL"],
    ["n.os = 'x' AND n.id IN $ids", "n.os = 'x' AND n._id IN $ids AND n._label IS NOT NULL"],
    ["NOT n.id = 'a'", "NOT n.id = 'a'"],
    ["n.id = 'a' OR true", "n.id = 'a' OR true"],
    ["n.id = 'a' + 'b'", "n.id = 'a' + 'b'"],
    ["n.id = 'a\\n'", "n.id = 'a\\n'"],
    ["n.id = $other", "n.id = $other"],
    [`n.id = '${"x".repeat(1_001)}'`, `n.id = '${"x".repeat(1_001)}'`],
  ])("%s", (condition, expected) => {
    expect(confine(`MATCH (n) WHERE ${condition} RETURN 1`)).toBe(
      `MATCH (n:Own) WHERE ${expected} RETURN 1`,
    );
  });

  test("in a node pattern too, where its label is known", () => {
    expect(confine("MATCH (n:Host {os: 'x', id: $id})--({id: 'a'}) RETURN 1")).toBe(
      "MATCH (n:Own&(Host) {os: 'x', _label: 'Host', _id: $id})--(:Own{id: 'a'}) RETURN 1",
    );
  });
});

test.each([
  "RETURN '\\u0027 AS x'",
  "MATCH (a)–[]–(b) RETURN a",
  "MATCH (a)-[]-\u00AD(b) RETURN a",
  "MATCH (naïve) RETURN naïve",
  "MATCH (n:NoSuch) RETURN n",
  "MATCH (n:Own) RETURN n",
  "MATCH (n) WHERE n:Own RETURN n",
  "MATCH (n:$('Host')) RETURN n",
  "MATCH (n IS Host) RETURN n",
  "MATCH (n $map) RETURN n",
  "MATCH ((a)--(b)){1,2} RETURN a",
  "MATCH (a)-->{1,2}(b) RETURN a",
  "MATCH (a)--+(b) RETURN a",
  "MATCH ANY SHORTEST (a)--(b) RETURN a",
  "MATCH (a)--(b) USING SCAN a:Host RETURN a",
  "MATCH (n) RETURN id(n)",
  "MATCH (n) RETURN elementId(n)",
  "MATCH (n) RETURN properties(n)",
  "MATCH (n) RETURN `keys`(n)",
  "MATCH (n) RETURN apoc.node.labels(n)",
  "MATCH (n) RETURN graph.names()",
  "MATCH (n) RETURN n {.*}",
  "MATCH (n) RETURN n['os']",
  "MATCH (n) RETURN n._id",
  "WITH {_id: 1} AS m RETURN m",
  "MATCH (n) RETURN n.nosuch",
  "MATCH ()-[k]->() RETURN k.os",
  "RETURN (:Host)",
  "RETURN ()",
  "RETURN (a)--1",
  "RETURN (a)-[1]",
  "MATCH (n) RETURN (MATCH (m) RETURN m)",
  "MATCH (n) RETURN COLLECT { (n) }",
  "MATCH (n) RETURN n $ ",
  "MATCH (n RETURN n",
  "MATCH (n)) RETURN n",
  "RETURN 1 SHOW INDEXES",
])("refused, as it is not surely confined: %s", (statement) => {
  expect(() => confine(statement)).toThrow(
    expect.objectContaining({ name: "StoreError", code: "refused" }) as Error,
  );
});
