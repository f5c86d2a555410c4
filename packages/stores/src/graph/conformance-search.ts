import { beforeEach, expect, test } from "vitest";

import { TestJournal, collection, scope } from "./conformance-fixture.ts";
import type { CurrentGraph } from "./conformance-fixture.ts";
import type { PathQuery } from "./port.ts";

const hosts = (id: string): { label: string; id: string } => ({ label: "Host", id });

/** That neighbours and paths are found, in order and within bounds. */
export function describeGraphSearch(current: CurrentGraph): void {
  // a → b → c → a is a ring; b → d and a → d lead on; e points at itself and at a.
  const links = ["ab", "bc", "ca", "bd", "ad", "ee", "ea"];

  beforeEach(async () => {
    const { store } = current();
    const journal = new TestJournal();
    await journal.deliver(store, [
      ...links.map((link) => ({
        type: "test/link",
        id: link,
        fields: { from: link[0], to: link[1] },
      })),
      { type: "test/link", id: "ab again", fields: { from: "a", to: "b" } },
      { type: "test/host", id: "h", fields: { name: "d", os: "linux", services: ["ssh", "web"] } },
    ]);
  });

  const neighbours = async (
    id: string,
    direction: "out" | "in" | "both",
    options: { readonly types?: readonly string[]; readonly limit?: number } = {},
  ): Promise<readonly string[]> => {
    const query = { node: hosts(id), direction, limit: 100, ...options };
    const answer = await current().store.neighbours(scope, collection, query);
    expect(answer.checkpoint).toBe(9);
    return answer.neighbours.map(
      ({ edge, node }) =>
        `${edge.from.id}-${edge.type}x${edge.records}->${edge.to.id} ${node.label} ${node.id}`,
    );
  };

  const paths = async (
    from: string,
    to: string,
    options: Partial<Omit<PathQuery, "from" | "to">> = {},
  ): Promise<readonly string[]> => {
    const answer = await current().store.paths(scope, collection, {
      from: hosts(from),
      to: hosts(to),
      direction: "out",
      depthMax: 4,
      limit: 100,
      ...options,
    });
    expect(answer.checkpoint).toBe(9);
    for (const { nodes, edges } of answer.paths) expect(nodes).toHaveLength(edges.length + 1);
    return answer.paths.map(({ nodes }) => nodes.map(({ id }) => id).join(""));
  };

  test("neighbours one step out, in and both ways, ordered by edge type, label and id", async () => {
    expect(await neighbours("a", "out")).toEqual(["a-LINKSx2->b Host b", "a-LINKSx1->d Host d"]);
    expect(await neighbours("a", "in")).toEqual(["c-LINKSx1->a Host c", "e-LINKSx1->a Host e"]);
    expect(await neighbours("d", "both")).toEqual([
      "a-LINKSx1->d Host a",
      "b-LINKSx1->d Host b",
      "d-RUNSx1->ssh Service ssh",
      "d-RUNSx1->web Service web",
    ]);
  });

  test("a node that points at itself is its own neighbour, once", async () => {
    expect(await neighbours("e", "both")).toEqual(["e-LINKSx1->a Host a", "e-LINKSx1->e Host e"]);
  });

  test("neighbours follow only the asked types, and at most the asked number", async () => {
    expect(await neighbours("d", "both", { types: ["RUNS"], limit: 1 })).toEqual([
      "d-RUNSx1->ssh Service ssh",
    ]);
    expect(await neighbours("d", "both", { types: ["RUNS", "no such"], limit: 9 })).toHaveLength(2);
    expect(await neighbours("d", "both", { types: ["no such"] })).toEqual([]);
    expect(await neighbours("d", "both", { types: [] })).toEqual([]);
  });

  test("a neighbour is told with its properties", async () => {
    const query = { node: hosts("b"), direction: "out", limit: 9 } as const;
    const answer = await current().store.neighbours(scope, collection, query);
    expect(answer.neighbours.map(({ node }) => node)).toEqual([
      { label: "Host", id: "c", properties: {} },
      { label: "Host", id: "d", properties: { os: "linux", tags: [] } },
    ]);
  });

  test("a node that does not exist has no neighbours and no paths", async () => {
    expect(await neighbours("' OR true //", "both")).toEqual([]);
    expect(await paths("a", "nobody")).toEqual([]);
    const unknown = { label: "No`Such", id: "a" };
    const { store } = current();
    const query = { node: unknown, direction: "both", limit: 9 } as const;
    expect((await store.neighbours(scope, collection, query)).neighbours).toEqual([]);
  });

  test("paths come shortest first, and never pass an edge twice", async () => {
    expect(await paths("a", "d")).toEqual(["ad", "abd", "abcad"]);
    expect(await paths("a", "d", { depthMax: 16 })).toEqual(["ad", "abd", "abcad"]);
    expect(await paths("e", "d")).toEqual(["ead", "eabd", "eead", "eeabd"]);
  });

  test("a path may come back to where it began", async () => {
    expect(await paths("a", "a")).toEqual(["abca"]);
    expect(await paths("e", "e")).toEqual(["ee"]);
    expect(await paths("a", "a", { only: "shortest" })).toEqual(["abca"]);
  });

  test("paths both ways pass edges against their direction, and tell it", async () => {
    expect(await paths("d", "c")).toEqual([]);
    expect(await paths("d", "c", { direction: "both", depthMax: 2 })).toEqual(["dac", "dbc"]);
    const { store } = current();
    const answer = await store.paths(scope, collection, {
      from: hosts("d"),
      to: hosts("c"),
      direction: "both",
      depthMax: 2,
      limit: 2,
    });
    expect(answer.paths[0]?.edges).toEqual([
      { type: "LINKS", from: hosts("a"), to: hosts("d"), records: 1 },
      { type: "LINKS", from: hosts("c"), to: hosts("a"), records: 1 },
    ]);
  });

  test("only the shortest means one path", async () => {
    expect(await paths("a", "d", { only: "shortest" })).toEqual(["ad"]);
    expect(await paths("c", "d", { only: "shortest" })).toEqual(["cad"]);
    expect(await paths("a", "e", { only: "shortest" })).toEqual([]);
    expect(await paths("d", "e", { only: "shortest", direction: "both" })).toEqual(["dae"]);
  });

  test("depth, number and types bound the paths", async () => {
    expect(await paths("a", "d", { depthMax: 1 })).toEqual(["ad"]);
    expect(await paths("a", "d", { depthMax: 2 })).toEqual(["ad", "abd"]);
    expect(await paths("a", "d", { limit: 2 })).toEqual(["ad", "abd"]);
    expect(await paths("a", "d", { types: ["RUNS"] })).toEqual([]);
    const { store } = current();
    const to = { label: "Service", id: "web" };
    const query = { from: hosts("a"), to, direction: "out", depthMax: 3, limit: 9 } as const;
    const answer = await store.paths(scope, collection, query);
    expect(answer.paths.map(({ edges }) => edges.map(({ type }) => type))).toEqual([
      ["LINKS", "RUNS"],
      ["LINKS", "LINKS", "RUNS"],
    ]);
  });

  test("depth and rows at the limit are answered, one more is refused", async () => {
    const { store } = current();
    const { depthMax, rowsMax } = store.limits;
    expect(await paths("a", "d", { depthMax, limit: rowsMax })).toHaveLength(3);
    const limit = { name: "StoreError", code: "limit" };
    await expect(paths("a", "d", { depthMax: depthMax + 1 })).rejects.toMatchObject(limit);
    await expect(paths("a", "d", { limit: rowsMax + 1 })).rejects.toMatchObject(limit);
    await expect(neighbours("a", "out", { limit: rowsMax + 1 })).rejects.toMatchObject(limit);
    const refused = { name: "StoreError", code: "refused" };
    for (const bad of [0, -1, 1.5, Number.NaN]) {
      await expect(paths("a", "d", { depthMax: bad })).rejects.toMatchObject(refused);
      await expect(neighbours("a", "out", { limit: bad })).rejects.toMatchObject(refused);
    }
  });
}
