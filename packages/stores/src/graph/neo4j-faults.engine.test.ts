import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect, createServer as createPlainServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import { promisify } from "node:util";

import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";

import { parseNeo4jUrl } from "../drivers/neo4j-settings.ts";
import { makeBatch } from "../record-batch.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { RawNeo4j } from "../testing/raw-neo4j.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { TestJournal, ask, collection, scope, storedRows } from "./conformance-fixture.ts";
import { neo4jPlace } from "./neo4j-place.ts";
import { openNeo4jGraph } from "./neo4j.ts";
import type { GraphStore } from "./port.ts";

const installation = serverName(randomUUID());
const networkInstallation = serverName(randomUUID());

describeNetworkFaults("neo4j", {
  open: (url) => openNeo4jGraph({ url: url.replace("?", `/${networkInstallation}?`) }),
  prepare: (store, of) => store.prepare(of, collection),
  write: (store, number, of) =>
    store.apply(of, collection, {
      batches: [
        makeBatch("test/host", [
          { id: `${number}`, sequence: number, text: JSON.stringify({ name: `h${number}` }) },
        ]),
      ],
      checkpoint: number,
    }),
  count: async (store, of) => (await store.statistics(of)).collections[0]?.records ?? 0,
  clean: async (url) => {
    await using raw = new RawNeo4j(url);
    await raw.drop(networkInstallation);
  },
});

describeOnServer("neo4j", (server) => {
  const url = `${server}/${installation}`;
  const raw = new RawNeo4j(server);
  let store: Awaited<ReturnType<typeof openNeo4jGraph>>;
  beforeEach(async () => {
    store = await openNeo4jGraph({ url });
    await store.prepare(scope, collection);
  });
  afterEach(async () => {
    await store[Symbol.asyncDispose]();
    await raw.empty(installation);
  });
  afterAll(async () => {
    await raw.drop(installation);
    await raw[Symbol.asyncDispose]();
  });
  const { label } = neo4jPlace({ installation, space: "tenant-a" }, collection);
  const link = (from: string, to: string) =>
    ({ type: "test/link", id: `${from}${to}`, fields: { from, to } }) as const;

  describe("writers", () => {
    test("two that write one graph at once take turns, and nothing is doubled or lost", async () => {
      await using other = await openNeo4jGraph({ url });
      const deliveries = Array.from({ length: 12 }, (_, index) => index + 1);
      const write = async (by: GraphStore): Promise<void> => {
        for (const sequence of deliveries) {
          const text = JSON.stringify({ name: `h${sequence}`, services: ["s"] });
          const batches = [makeBatch("test/host", [{ id: `${sequence}`, sequence, text }])];
          await by.apply(scope, collection, { batches, checkpoint: sequence });
        }
      };
      await Promise.all([write(store), write(other)]);
      expect(await ask(store, "MATCH (n:Host) RETURN count(*), sum(n._records)")).toEqual([
        [12, 12],
      ]);
      expect(await ask(store, "MATCH (n:Service) RETURN n._records")).toEqual([[12]]);
      expect(await ask(store, "MATCH ()-[k:RUNS]->() RETURN count(*), max(k._records)")).toEqual([
        [12, 1],
      ]);
    });

    test("more of them than half of the pool wait for each other, and all are done", async () => {
      await using small = await openNeo4jGraph({ url: `${url}?pool=2` });
      const tenants = ["t1", "t2", "t3", "t4", "t5"].map((tenant) => scopeFor(tenant));
      await Promise.all(
        tenants.map((of) =>
          small.apply(of, collection, {
            batches: [makeBatch("test/host", [{ id: "1", sequence: 1, text: `{"name":"a"}` }])],
            checkpoint: 1,
          }),
        ),
      );
      const counts = await Promise.all(tenants.map((of) => small.checkpoint(of, collection)));
      expect(counts).toEqual([1, 1, 1, 1, 1]);
    });

    test("while one commits, no reader sees a delivery in part, or a checkpoint without its rows", async () => {
      await using readers = await openNeo4jGraph({ url });
      const request = {
        statement: "MATCH (n:Host) RETURN count(n), sum(n.cores)",
        rowsMax: 1,
        timeMs: 20_000,
      };
      const journal = new TestJournal();
      const seen = new Set<string>();
      let isWriting = true;
      const writing = (async () => {
        for (let round = 1; round <= 4; round += 1) {
          const name = (index: number): string => `h${round}-${index}`;
          const texts = Array.from({ length: 3_000 }, (_, index) =>
            JSON.stringify({ name: name(index), cores: 1 }),
          );
          await journal.deliverBulk(store, "test/host", texts);
        }
      })().finally(() => (isWriting = false));
      const read = async (): Promise<void> => {
        while (isWriting) {
          const { rows, checkpoint } = await readers.query(scope, collection, request);
          seen.add(JSON.stringify([checkpoint, ...(rows[0] ?? [])]));
        }
      };
      await Promise.all([writing, read(), read(), read(), read()]);
      const states = Array.from({ length: 5 }, (_, round) => [round, round * 3_000, round * 3_000]);
      const allowed = new Set(states.map((state) => JSON.stringify(state)));
      expect([...seen].filter((state) => !allowed.has(state))).toEqual([]);
      expect(seen.size).toBeGreaterThan(1);
    });

    test("while one says that it commits, readers wait until it has", async () => {
      await new TestJournal().deliver(store, [link("a", "b")]);
      const key = { key: label };
      await raw.run("MATCH (o:CustodyGate {key: $key}) SET o.committing = true", key);
      const lock = "MATCH (g:CustodyGraph {key: $key}) SET g.checkpoint = 2";
      const commit = await raw.hold(lock, key);
      const reading = store.checkpoint(scope, collection);
      await raw.untilBlocked("read the checkpoint");
      await commit("commit");
      expect(await reading).toBe(2);
    });

    test("one that is held up by another's lock says unavailable in time, and works afterwards", async () => {
      await using impatient = await openNeo4jGraph({ url: `${url}?timeout=700` });
      const free = await raw.hold("MATCH (g:CustodyGraph {key: $key}) SET g.lockedBy = 'test'", {
        key: label,
      });
      await expect(new TestJournal().deliver(impatient, [link("a", "b")])).rejects.toMatchObject({
        code: "unavailable",
        retryable: true,
      });
      await free("rollback");
      await new TestJournal().deliver(store, [link("a", "b")]);
      expect(await storedRows(store)).toHaveLength(3);
    });
  });

  describe("what was interrupted", () => {
    test("readers get past a writer that ended between saying that it commits and that it has", async () => {
      await new TestJournal().deliver(store, [link("a", "b")]);
      await raw.run("MATCH (o:CustodyGate {key: $key}) SET o.committing = true", { key: label });
      expect(await store.checkpoint(scope, collection)).toBe(1);
      expect(await storedRows(store)).toHaveLength(3);
      const gate = "MATCH (o:CustodyGate {key: $key}) RETURN o.committing AS committing";
      expect(await raw.run(gate, { key: label })).toEqual([{ committing: null }]);
    });

    test("a graph that is being discarded is empty, and made anew only when all of it is gone", async () => {
      await new TestJournal().deliver(store, [link("a", "b")]);
      await raw.run("MATCH (g:CustodyGraph {key: $key}) SET g.isDiscarded = true", { key: label });
      expect(await store.checkpoint(scope, collection)).toBe(0);
      expect(await storedRows(store)).toEqual([]);
      expect((await store.statistics(scope)).collections).toEqual([]);
      await store.prepare(scope, collection);
      expect(await raw.run(`MATCH (n:${label}) RETURN count(n) AS count`)).toEqual([{ count: 0n }]);
      const journal = new TestJournal();
      await journal.deliver(store, [link("a", "c")]);
      expect(await storedRows(store)).toEqual(journal.expected());
    });

    test("a connection that the server ends is unavailable, and the next call has another", async () => {
      const slow = "MATCH (a), (b), (c), (d), (e) RETURN sum(a._records + e._records)";
      const texts = Array.from({ length: 300 }, (_, index) => `{"name":"h${index}"}`);
      await new TestJournal().deliverBulk(store, "test/host", texts);
      const request = { statement: slow, rowsMax: 1, timeMs: 60_000 };
      await Promise.all([
        expect(store.query(scope, collection, request)).rejects.toMatchObject({
          code: "unavailable",
          retryable: true,
        }),
        raw.terminate("run the statement"),
      ]);
      expect(await store.checkpoint(scope, collection)).toBe(1);
    });
  });

  test("a duplicate that somebody made behind the store's back cannot come to be", async () => {
    await new TestJournal().deliver(store, [link("a", "b")]);
    const twin = `CREATE (:${label}:Host {_id: 'a', _label: 'Host', id: 'a'})`;
    await expect(raw.run(twin)).rejects.toMatchObject({
      code: "Neo.ClientError.Schema.ConstraintValidationFailed",
    });
  });

  test("a node found by its id is found by the index", async () => {
    const request = { parameters: { id: "a" }, rowsMax: 1, timeMs: 10_000 };
    const plan = await store.explain(scope, collection, {
      ...request,
      statement: "MATCH (n:Host)-[:LINKS]->(m) WHERE n.id = $id RETURN m.id",
    });
    expect(plan.join("\n")).toMatch(/NodeUniqueIndexSeek.*_id = \$id/);
  });

  test("bookkeeping names nobody's data, and owners' names are in none of it", async () => {
    await using salted = await openNeo4jGraph({ url, ownerSalt: Uint8Array.of(1, 2, 3) });
    const owned = scopeFor("tenant-a", "ana.person@example.org");
    await salted.apply(owned, collection, { batches: [], checkpoint: 3 });
    expect(await salted.checkpoint(owned, collection)).toBe(3);
    expect(await store.checkpoint(scope, collection)).toBe(0);
    await expect(store.checkpoint(owned, collection)).rejects.toMatchObject({
      code: "unsupported",
    });
    const graphs = await raw.run(
      "MATCH (g:CustodyGraph {installation: $installation}) RETURN properties(g) AS p",
      { installation },
    );
    expect(graphs).toHaveLength(2);
    expect(JSON.stringify(graphs, (_, value: unknown) => String(value))).not.toMatch(/ana|person/);
  });

  test("the server says what it is, and nobody is let in with a wrong password", async () => {
    const health = await store.health();
    expect(health.product).toBe("Neo4j");
    expect(health.version).toMatch(/^\d+\.\d+/);
    const wrong = server.replace(/:[^:@/]+@/, ":wrong-secret@");
    await using locked = await openNeo4jGraph({ url: wrong });
    const refusal: unknown = await locked.health().catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "unavailable", retryable: true });
    expect(String(refusal)).not.toContain("wrong-secret");
  });

  test("with neo4j:// the server is asked who is who, as in a cluster, and writes and reads are sent there", async () => {
    await using routed = await openNeo4jGraph({ url: url.replace(/^bolt:/, "neo4j:") });
    const journal = new TestJournal();
    await journal.deliver(routed, [link("a", "b")]);
    expect(await storedRows(routed)).toEqual(journal.expected());
  });

  test("a database that is not there is unavailable, and named", async () => {
    await using lost = await openNeo4jGraph({ url: `${url}?database=nosuch` });
    await expect(lost.checkpoint(scope, collection)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("nosuch") as unknown,
    });
  });

  test("all connections in use is unavailable, within the time limit", async () => {
    const stuck = createPlainServer(() => {});
    await new Promise<void>((resolve) => void stuck.listen(0, "127.0.0.1", resolve));
    const { port } = stuck.address() as AddressInfo;
    await using small = await openNeo4jGraph({
      url: `bolt://127.0.0.1:${port}?pool=2&timeout=600`,
    });
    const startedAt = Date.now();
    const calls = Array.from({ length: 8 }, () => small.checkpoint(scope, collection));
    for (const one of await Promise.allSettled(calls)) {
      expect(one).toMatchObject({ reason: { code: "unavailable" } });
    }
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    stuck.close();
  });

  test("TLS: an own authority is trusted with ca=, and a server that asks for it is shown cert= and key=", async () => {
    await using home = await makeTemporaryDirectory();
    await using front = await serveTls(home.path, server);
    const open = (options: string): Promise<GraphStore> =>
      openNeo4jGraph({
        url: `${url.replace(/^bolt:/, "bolt+s:").replace(/@[^/]+/, `@127.0.0.1:${front.port}`)}?${options}`,
      });
    const [ca, key] = [join(home.path, "ca.pem"), join(home.path, "ca.key")];
    await using known = await open(`ca=${ca}&cert=${ca}&key=${key}`);
    expect(await known.checkpoint(scope, collection)).toBe(0);
    await using careless = await open(`verify=false&cert=${ca}&key=${key}`);
    expect(await careless.checkpoint(scope, collection)).toBe(0);
    for (const options of [`cert=${ca}&key=${key}`, `ca=${ca}`]) {
      await using stranger = await open(options);
      await expect(stranger.checkpoint(scope, collection)).rejects.toMatchObject({
        code: "unavailable",
      });
    }
  });
});

/** Puts TLS in front of a server, with one certificate that is authority, server and client. */
async function serveTls(
  directory: string,
  url: string,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const [cert, key] = [join(directory, "ca.pem"), join(directory, "ca.key")];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", cert];
  await promisify(execFile)("openssl", [...request.split(" "), ...names, ...files]);
  const [upstream] = parseNeo4jUrl(url).server.hosts;
  const [pem, keyPem] = [await readFile(cert), await readFile(key)];
  const options = { cert: pem, key: keyPem, ca: pem, requestCert: true, rejectUnauthorized: true };
  const front = createServer(options, (client) => {
    const behind = connect(upstream?.port ?? 0, upstream?.host);
    client.pipe(behind).pipe(client);
    client.on("error", () => behind.destroy());
    behind.on("error", () => client.destroy());
  });
  front.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => void front.listen(0, "127.0.0.1", resolve));
  const { port } = front.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      front.close();
      await Promise.resolve();
    },
  };
}
