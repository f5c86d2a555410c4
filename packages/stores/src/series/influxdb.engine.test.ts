import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { makeBatch } from "../record-batch.ts";
import { allRows, deliver } from "../testing/conformance-projection.ts";
import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, serverName } from "../testing/engine-server.ts";
import { InfluxdbTestServer } from "../testing/influxdb-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { HOSTILE_NAMES, SAMPLE_CASE, SAMPLES } from "./conformance-case.ts";
import { callsOf, writePoints } from "./conformance-points.ts";
import { describeSeries } from "./conformance.ts";
import { openInfluxdbSeries } from "./influxdb.ts";
import type { SeriesStore } from "./port.ts";

const module = new URL("./influxdb.ts", import.meta.url).href;
const scope = scopeFor("tenant-a");

describeOnServer("influxdb", (url) => {
  const server = new InfluxdbTestServer(url);
  const prefixes = new Set<string>();
  afterAll(() => server.drop(prefixes));
  const urlOf = (home: string): string => {
    prefixes.add(serverName(home));
    return server.urlOf(serverName(home));
  };

  describeSeries("influxdb", {
    open: async (home, options) => await openInfluxdbSeries({ url: urlOf(home), ...options }),
    child: {
      module,
      open: `engine.openInfluxdbSeries({ url: ${JSON.stringify(server.urlOf("PREFIX"))}.replace("PREFIX",
        "t" + (await import("node:crypto")).hash("sha256", home).slice(0, 12)) })`,
    },
    faults: {
      tamper: async (home, how, id) => {
        const database = `${serverName(home)}.tenant-a.audit.sample.g1`;
        await server.tamper(database, { how, id, measurement: "latency", field: "ms" });
      },
    },
  });

  describe("what is particular to InfluxDB", () => {
    const prefix = serverName("what is particular to InfluxDB");
    const calls = callsOf("lab/calls");
    const databaseOf = (name: string): string => `${prefix}.tenant-a.${name.replace("/", ".")}.g1`;
    let store: SeriesStore;
    beforeAll(async () => {
      prefixes.add(prefix);
      store = await openInfluxdbSeries({ url: server.urlOf(prefix) });
    });
    afterAll(() => store[Symbol.asyncDispose]());

    test("points lie under the measurement, tags and fields that the type names", async () => {
      await writePoints(store, scope, calls, {
        points: [{ at: 1_700_000_000_000, model: "a b", ms: 2.5 }],
      });
      const [point] = await server.points(databaseOf("lab/calls"), "calls");
      expect(point).toMatchObject({ model: "a b", host: "%-", ms: 2.5, custody: "1 0 1 point-0" });
      expect(String(point?.["time"]).slice(0, 13)).toBe("1700000000000");
    });

    test("names that mean something to the server are stored with an escape", async () => {
      await store.prepare(scope, SAMPLES);
      const text = SAMPLE_CASE.text(1, 1);
      const record = { id: "one", sequence: 1, text };
      await store.apply(scope, SAMPLES, deliver("audit/sample", [record]));
      const [point] = await server.points(databaseOf("audit/sample"), "latency");
      expect(Object.keys(point ?? {})).toContain("x%22 OR 1=1; --");
      const [other] = await server.points(databaseOf("audit/sample"), HOSTILE_NAMES[2]);
      expect(Object.keys(other ?? {})).toContain("%5f_proto__");
    });

    test("three thousand points of one series and millisecond are kept apart, also when written again", async () => {
      const crowd = callsOf("lab/crowd");
      const records = Array.from({ length: 3_000 }, (_, number) => ({
        id: `crowd-${number}`,
        sequence: 1,
        text: `{"at":0,"model":"m","ms":${number}}`,
      }));
      await store.prepare(scope, crowd);
      const [first, rest] = [records.slice(0, 1_500), records.slice(1_500)];
      const write = async (batches: readonly (typeof records)[]): Promise<void> => {
        // The same delivery from another process that died before its checkpoint.
        await using other = await openInfluxdbSeries({ url: server.urlOf(prefix) });
        for (const batch of batches) await other.repair(scope, crowd, makeBatch(crowd.name, batch));
      };
      await write([first]);
      await store.apply(scope, crowd, {
        batches: [makeBatch(crowd.name, rest), makeBatch(crowd.name, first)],
        checkpoint: 1,
      });
      await write([rest, first]);
      expect(await allRows(store, scope, crowd)).toHaveLength(3_000);
      const { rows } = await store.query(scope, crowd, {
        measurement: "calls",
        from: 0,
        to: 1,
        bucketMs: 1,
        values: { n: { field: "ms", fn: "count" }, sum: { field: "ms", fn: "sum" } },
      });
      expect(rows).toEqual([{ bucketAt: 0, tags: {}, values: { n: 3_000, sum: 4_498_500 } }]);
    });

    test("two writers of the same records leave each once", async () => {
      const shared = callsOf("lab/shared");
      await using other = await openInfluxdbSeries({ url: server.urlOf(prefix) });
      await store.prepare(scope, shared);
      const records = Array.from({ length: 500 }, (_, number) => ({
        id: `shared-${number}`,
        sequence: 1,
        text: `{"at":${number},"ms":1}`,
      }));
      const delivery = deliver(shared.name, records);
      await Promise.all([store, other].map((one) => one.apply(scope, shared, delivery)));
      expect(await allRows(store, scope, shared)).toHaveLength(500);
      const [digest] = await store.digest(scope, shared, 10);
      expect(digest?.count).toBe(500);
    });

    test("a text that is too long for a tag groups and narrows as any other", async () => {
      const long = callsOf("lab/long");
      const model = "x".repeat(70_000);
      await writePoints(store, scope, long, { points: [{ at: 0, model, ms: 1 }] });
      const { rows } = await store.query(scope, long, {
        measurement: "calls",
        from: 0,
        to: 1,
        bucketMs: 1,
        values: { n: { field: "ms", fn: "count" } },
        where: { model: [model] },
        groupBy: ["model"],
      });
      expect(rows.map(({ tags }) => tags["model"] === model)).toEqual([true]);
    });

    test("more tags than fit the key of a series are refused", async () => {
      const tags = Object.fromEntries(Array.from({ length: 41 }, (_, tag) => [`t${tag}`, "model"]));
      const wide = {
        name: "lab/wide",
        generation: 1,
        placements: { "lab/wide": [{ measurement: "m", tags, fields: { ms: "ms" } }] },
      };
      await expect(store.prepare(scope, wide)).rejects.toMatchObject({ code: "limit" });
    });

    test("the server says what it is", async () => {
      await using one = await openInfluxdbSeries({ url: server.urlOf(prefix) });
      const health = await one.health();
      expect(health.product).toBe("InfluxDB");
      expect(health.tookMs).toBeGreaterThan(0);
    });
  });
});

const NETWORK = serverName("the network of InfluxDB");
const COUNTED = callsOf("lab/network");

describeNetworkFaults<SeriesStore>("influxdb", {
  open: async (url) =>
    await openInfluxdbSeries({ url: url.replace(/(\/\/[^/?]*)\/?(\?|$)/, `$1/${NETWORK}$2`) }),
  prepare: async (store, at) => await store.prepare(at, COUNTED),
  write: async (store, number, at) => {
    const text = `{"at":${number},"ms":1}`;
    const batch = makeBatch(COUNTED.name, [{ id: `row-${number}`, sequence: number, text }]);
    await store.repair(at, COUNTED, batch);
  },
  count: async (store, at) => {
    const digests = await store.digest(at, COUNTED, 1_000_000);
    return digests.reduce((sum, { count }) => sum + count, 0);
  },
  clean: (url) => new InfluxdbTestServer(url).drop([NETWORK]),
});
