import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { get } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";

import { parseFilter } from "@custody/contract/filter";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";

import { memberOf } from "../drivers/opensearch-errors.ts";
import { openOpensearchCluster } from "../drivers/opensearch.ts";
import type { Collection } from "../projected-store.ts";
import { makeBatch } from "../record-batch.ts";
import type { ServerEngine } from "../server-engine.ts";
import { allRows, deliver } from "../testing/conformance-projection.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { rawOpensearch, withPrefix } from "../testing/opensearch-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { FINDING, FINDING_CASE, FINDINGS } from "./conformance-case.ts";
import { idsOf, putFindings } from "./conformance-queries.ts";
import { describeIndex, indexDefinition } from "./opensearch-index.ts";
import { openOpensearchSearch } from "./opensearch.ts";
import { wordsIn, OpensearchWords } from "./opensearch-words.ts";
import type { SearchStore } from "./port.ts";
import { parseSearch } from "./query-language.ts";

const scope = scopeFor("tenant-a");
const WHOLE = { fromSequence: 0, toSequence: 1_000, limit: 1_000 };

describe.each(["opensearch", "elasticsearch"] as const)("what is particular to %s", (server) => {
  describeOnServer(server, (url) => {
    const raw = rawOpensearch(url);
    let home: TemporaryDirectory;
    let store: SearchStore & ServerEngine;
    beforeEach(async () => {
      home = await makeTemporaryDirectory();
      store = await openOpensearchSearch({ url: raw.urlOf(home.path) });
    });
    afterEach(async () => {
      await store[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    });
    afterAll(async () => await raw.drop());

    const index = (): string => `${serverName(home.path)}.tenant-a.redteam__finding.g1`;
    const row = (id: string, sequence: number, title: string) => ({
      id,
      sequence,
      text: JSON.stringify({ title }),
    });
    const apply = async (...rows: { id: string; sequence: number; text?: string }[]) =>
      await store.apply(scope, FINDINGS, deliver(FINDING, rows));
    const listed = async (): Promise<readonly (readonly [string, number])[]> =>
      (await allRows(store, scope, FINDINGS, WHOLE)).map(({ id, sequence }) => [id, sequence]);
    const bulk = async (...lines: object[]): Promise<void> => {
      const body = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
      await raw.send({ method: "POST", path: [index(), "_bulk"], body });
    };

    test("it says what the server is", async () => {
      const health = await store.health();
      expect(health.product).toBe(server === "opensearch" ? "OpenSearch" : "Elasticsearch");
      expect(health.version).toMatch(/^\d+\.\d+\.\d+/);
      expect(health.tookMs).toBeGreaterThanOrEqual(0);
    });

    test("a row lies in the index of its tenant and collection, by places and not by names", async () => {
      await putFindings(store, { a: { title: "One", severity: "high", tags: ["x", 2] } });
      expect(
        memberOf(await raw.send({ method: "GET", path: [index(), "_doc", "a"] }), "_source"),
      ).toEqual({
        id: "a",
        s: 1,
        b: 30,
        t2: "One",
        c: '[[],[],["high"],["x",2],[]]',
        f2: ["shigh"],
        f3: ["sx", "nc0000000000000008000"],
        n3: 2,
      });
      const other = scopeFor("tenant-b");
      await store.prepare(other, FINDINGS);
      const indices = await raw.send({
        method: "GET",
        path: [`${serverName(home.path)}.*`, "_settings"],
      });
      expect(Object.keys(indices as object).sort()).toEqual([
        `${serverName(home.path)}.tenant-a.redteam__finding.g1.rows`,
        `${serverName(home.path)}.tenant-b.redteam__finding.g1.rows`,
      ]);
    });

    test("rows of a delivery that was cut off are not seen before it is delivered again", async () => {
      await store.prepare(scope, FINDINGS);
      await apply(row("a", 1, "before"));
      const version = (id: string, sequence: number) => ({
        index: { _id: id, version: sequence, version_type: "external" },
      });
      const stored = (id: string) => ({ id, s: 2, b: 5, t2: "after", c: "[[],[],[],[],[]]" });
      await bulk(version("a", 2), stored("a"), version("b", 2), stored("b"));
      expect(await idsOf(store, "before OR after")).toEqual(["a"]);
      expect(await idsOf(store, "before")).toEqual(["a"]);
      expect(await store.checkpoint(scope, FINDINGS)).toBe(1);
      await apply(row("a", 2, "after"), row("b", 2, "after"), row("c", 2, "after"));
      expect(await idsOf(store, "after")).toEqual(["a", "b", "c"]);
      expect(await listed()).toEqual([
        ["a", 2],
        ["b", 2],
        ["c", 2],
      ]);
    });

    test("two writers of the same collection leave what one would have left", async () => {
      await store.prepare(scope, FINDINGS);
      await using other = await openOpensearchSearch({ url: raw.urlOf(home.path) });
      const records = Array.from({ length: 300 }, (_, n) =>
        n % 7 === 3
          ? { id: `id-${n % 40}`, sequence: n + 1 }
          : row(`id-${n % 40}`, n + 1, `text ${n}`),
      );
      const write = async (writer: SearchStore, step: number): Promise<void> => {
        for (let at = 0; at < records.length; at += step) {
          const batches = records.slice(at, at + step).map((one) => makeBatch(FINDING, [one]));
          const checkpoint = Math.min(at + step, records.length);
          await writer.apply(scope, FINDINGS, { batches, checkpoint });
        }
      };
      await Promise.all([write(store, 17), write(other, 23), write(other, 60)]);
      const last = new Map(records.map((one) => [one.id, one]));
      const wanted = [...last.values()]
        .filter((one) => "text" in one)
        .sort((one, next) => one.sequence - next.sequence);
      expect(await listed()).toEqual(wanted.map(({ id, sequence }) => [id, sequence]));
      expect(await store.checkpoint(scope, FINDINGS)).toBe(300);
    });

    test("a record that was repaired takes its next version, removed or not", async () => {
      await store.prepare(scope, FINDINGS);
      await apply(row("a", 5, "wrong"), row("b", 5, "wrong"), row("c", 5, "wrong"));
      for (let times = 0; times < 4; times += 1) {
        await store.repair(
          scope,
          FINDINGS,
          makeBatch(FINDING, [row("a", 2, "right"), { id: "b", sequence: 5 }, row("d", 1, "new")]),
        );
      }
      expect(await listed()).toEqual([
        ["d", 1],
        ["a", 2],
        ["c", 5],
      ]);
      await apply(row("a", 6, "next"), row("b", 6, "next"), { id: "d", sequence: 6 });
      expect(await listed()).toEqual([
        ["c", 5],
        ["a", 6],
        ["b", 6],
      ]);
    });

    test("a disk that is nearly full is full: reads go on, and so do writes when there is space", async () => {
      await putFindings(store, { a: "one" });
      const block = async (value: true | null): Promise<unknown> =>
        await raw.send({
          method: "PUT",
          path: [`${index()}.rows`, "_settings"],
          body: { "index.blocks.read_only_allow_delete": value },
        });
      await block(true);
      const writing = apply(row("b", 2, "two"));
      await expect(writing).rejects.toMatchObject({ code: "full", retryable: true });
      const empty = store.apply(scope, FINDINGS, { batches: [], checkpoint: 9 });
      await expect(empty).rejects.toMatchObject({ code: "full", retryable: true });
      expect(await idsOf(store, "one")).toEqual(["a"]);
      await block(null);
      await apply(row("b", 2, "two"));
      expect(await idsOf(store, "two")).toEqual(["b"]);
    });

    test("what the server refuses moves no checkpoint", async () => {
      await putFindings(store, { a: "one" });
      const pipeline = { "index.default_pipeline": "no-such-pipeline" };
      await raw.send({ method: "PUT", path: [`${index()}.rows`, "_settings"], body: pipeline });
      await expect(apply(row("b", 2, "two"))).rejects.toMatchObject({ code: "refused" });
      expect(await store.checkpoint(scope, FINDINGS)).toBe(1);
      expect(await listed()).toEqual([["a", 1]]);
    });

    test("an index that someone removed is not made by writing to it", async () => {
      await putFindings(store, { a: "one" });
      await raw.send({ method: "DELETE", path: [`${index()}.rows`] });
      await expect(apply(row("b", 2, "two"))).rejects.toMatchObject({ code: "refused" });
      expect(await idsOf(store, "two")).toEqual([]);
      const left = await raw.send({
        method: "GET",
        path: [`${serverName(home.path)}.*`, "_settings"],
      });
      expect(left).toEqual({});
    });

    test("an index whose maker was killed before its checkpoint is prepared, for its own mapping alone", async () => {
      const held = describeIndex(FINDINGS, { prefix: serverName(home.path), space: "tenant-a" });
      const body = indexDefinition(held, undefined);
      await raw.send({ method: "PUT", path: [held.index], body });
      expect(await idsOf(store, "one")).toEqual([]);
      await expect(apply(row("a", 1, "one"))).rejects.toMatchObject({ code: "refused" });
      const other: Collection<(typeof FINDINGS.placements)[string]> = FINDING_CASE.otherMapping;
      await expect(store.prepare(scope, other)).rejects.toMatchObject({ code: "refused" });
      await store.prepare(scope, FINDINGS);
      await apply(row("a", 1, "one"));
      expect(await idsOf(store, "one")).toEqual(["a"]);
    });

    test("installations with different prefixes on one server do not meet", async () => {
      await using second = await openOpensearchSearch({ url: raw.urlOf(`${home.path}/second`) });
      await putFindings(store, { a: "one" });
      expect(await idsOf(second, "one")).toEqual([]);
      await second.discard(scope, FINDINGS);
      expect((await second.statistics(scope)).collections).toEqual([]);
      expect(await idsOf(store, "one")).toEqual(["a"]);
    });

    test("facets list whole texts, and numbers by their text, however many there are", async () => {
      const long = "long ".repeat(5_000);
      await store.prepare(scope, FINDINGS);
      const records = Array.from({ length: 150 }, (_, n) => ({
        id: `id-${n}`,
        sequence: 1,
        text: JSON.stringify({ title: "word", score: n, hostile: n < 2 ? long : "short" }),
      }));
      await apply(...records);
      const { facets } = await store.search(scope, FINDINGS, {
        expression: parseSearch("word"),
        facets: ["score", `x" OR 1=1; --`],
        limit: 1,
      });
      expect(facets[`x" OR 1=1; --`]).toEqual([
        { value: "short", count: 148 },
        { value: long, count: 2 },
      ]);
      const values = facets["score"]?.map(({ value }) => value);
      expect(values).toHaveLength(100);
      expect(values?.slice(0, 4)).toEqual(["0", "1", "10", "100"]);
      const filter = parseFilter({ [`x" OR 1=1; --`]: long });
      expect(await idsOf(store, "word", { filter })).toEqual(["id-0", "id-1"]);
      const beyond = parseFilter({ [`x" OR 1=1; --`]: { $gt: "x".repeat(8_001) } });
      await expect(idsOf(store, "word", { filter: beyond })).rejects.toMatchObject({
        code: "limit",
      });
    });

    test("rows are read back in answers of a bounded size, however large they are", async () => {
      await store.prepare(scope, FINDINGS);
      const large = Array.from({ length: 12 }, (_, n) =>
        row(`large-${String(n).padStart(2, "0")}`, 1, `${n} ${"words ".repeat(200_000)}`),
      );
      const small = Array.from({ length: 12 }, (_, n) => row(`small-${n}`, 2, "words"));
      await apply(...large, ...small);
      expect((await listed()).length).toBe(24);
      const [bucket] = await store.digest(scope, FINDINGS, 1_000);
      expect(bucket?.count).toBe(24);
    });

    test("words are cut and folded here as the server cuts and folds them", async () => {
      await store.prepare(scope, FINDINGS);
      await using cluster = await openOpensearchCluster(url);
      const text = [
        "CVE-2026-0001 naïve nai\u0308ve Ärger Straße ŁÓDŹ Ελλάδα МОСКВА й 日本語 ½ ⑴ x² İstanbul",
        `a\0b foo.bar can't \u202Eright x\u00A0y \u{1F600}z \uE000private ${"w".repeat(300)} हिन्दी`,
      ].join(" ");
      const fold = await new OpensearchWords(cluster).learn(scope, index(), [text]);
      const answer = await raw.send({
        method: "POST",
        path: [index(), "_analyze"],
        body: { analyzer: "words", text },
      });
      const tokens = memberOf(answer, "tokens");
      const words = wordsIn(text);
      expect(words.length).toBeGreaterThan(25);
      expect(words.map((word) => [fold(word.text), word.start, word.end])).toEqual(
        Array.isArray(tokens)
          ? tokens.map((one) =>
              ["token", "start_offset", "end_offset"].map((of) => memberOf(one, of)),
            )
          : [],
      );
    });

    test("one connection serves many calls at once", async () => {
      await putFindings(store, { a: "one" });
      const single = `${withPrefix(url, serverName(home.path))}?pool=1`;
      await using narrow = await openOpensearchSearch({ url: single });
      const calls = Array.from({ length: 40 }, async () => await idsOf(narrow, "one"));
      expect(await Promise.all(calls)).toEqual(Array.from({ length: 40 }, () => ["a"]));
    });
  });

  describeOnServer(server, (url) => {
    test("over TLS a server of an own authority is trusted with ca=, and the client shows its own certificate", async () => {
      await using home = await makeTemporaryDirectory();
      await using front = await serveTls(home.path, url);
      const of = async (options: string): Promise<string> => {
        const secured = `${server}s://ana:s3cret@127.0.0.1:${front.port}/ttls${options}`;
        await using store = await openOpensearchSearch({ url: secured });
        return (await store.health()).product;
      };
      const ca = join(home.path, "ca.pem");
      const product = server === "opensearch" ? "OpenSearch" : "Elasticsearch";
      expect(await of(`?ca=${ca}`)).toBe(product);
      expect(await of(`?ca=${ca}&cert=${ca}&key=${join(home.path, "ca.key")}`)).toBe(product);
      expect(await of("?verify=false")).toBe(product);
      expect(front.seen()).toEqual([
        ["Basic YW5hOnMzY3JldA==", undefined],
        ["Basic YW5hOnMzY3JldA==", "localhost"],
        ["Basic YW5hOnMzY3JldA==", undefined],
      ]);
      await expect(of("")).rejects.toMatchObject({ code: "unavailable", retryable: true });
      await expect(of("")).rejects.not.toThrow(/s3cret/);
      await using keyed = await openOpensearchSearch({
        url: `${server}s://127.0.0.1:${front.port}?ca=${ca}&api-key=YWJj`,
      });
      await keyed.health();
      expect(front.seen().at(-1)).toEqual(["ApiKey YWJj", undefined]);
    });
  });

  describeNetworkFaults(server, {
    open: async (url) => await openOpensearchSearch({ url: url.replace("?", "/tnetwork?") }),
    prepare: async (store, of) => await store.prepare(of, FINDINGS),
    write: async (store, number, of) =>
      await store.apply(of, FINDINGS, {
        batches: [
          makeBatch(FINDING, [{ id: `row-${number}`, sequence: number, text: `{"title":"word"}` }]),
        ],
        checkpoint: number,
      }),
    count: async (store, of) =>
      (await store.search(of, FINDINGS, { expression: parseSearch("word"), limit: 1 })).total,
    clean: async (url) => {
      const raw = rawOpensearch(url);
      await raw.send({ method: "DELETE", path: ["tnetwork.*"] });
    },
  });
});

/** Puts TLS in front of a server, with a certificate that is its own authority; notes who came. */
async function serveTls(
  directory: string,
  url: string,
): Promise<
  AsyncDisposable & {
    readonly port: number;
    /** The header and the name in the certificate of each request. */
    readonly seen: () => readonly (readonly [string | undefined, string | undefined])[];
  }
> {
  const [cert, key] = [join(directory, "ca.pem"), join(directory, "ca.key")];
  const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
  const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", cert];
  await promisify(execFile)("openssl", [...made.split(" "), ...name, ...files]);
  const upstream = url.replace(/^\w+:/, "http:");
  const seen: (readonly [string | undefined, string | undefined])[] = [];
  const options = { cert: await readFile(cert), key: await readFile(key) };
  const front = createServer({ ...options, requestCert: true, rejectUnauthorized: false });
  front.on("request", (request, answer) => {
    const socket = request.socket as TLSSocket;
    const name: unknown = socket.getPeerCertificate().subject?.CN;
    seen.push([request.headers.authorization, typeof name === "string" ? name : undefined]);
    get(upstream, (passed) => {
      answer.setHeader("content-type", "application/json");
      passed.pipe(answer);
    });
  });
  await new Promise<void>((resolve) => void front.listen(0, "127.0.0.1", resolve));
  const { port } = front.address() as AddressInfo;
  return {
    port,
    seen: () => seen,
    async [Symbol.asyncDispose]() {
      front.closeAllConnections();
      await new Promise<void>((resolve) => void front.close(() => resolve()));
    },
  };
}
