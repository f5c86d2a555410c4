import { Consumer, Producer } from "@platformatic/kafka";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { describeOnServer } from "../testing/engine-server.ts";
import {
  dropKafka,
  kafkaUrl,
  newKafkaPrefix,
  produceKafka,
  withKafkaAdmin,
} from "../testing/kafka-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { openKafkaStream } from "./kafka.ts";
import type { NewEvent } from "./port.ts";

const scope = scopeFor("tenant-a");
const scramUrl = process.env["CUSTODY_TEST_KAFKA_SCRAM_URL"];
const tlsUrl = process.env["CUSTODY_TEST_KAFKA_TLS_URL"];

const event = (number: number, changes: Partial<NewEvent> = {}): NewEvent => ({
  topic: "t",
  key: `k${number % 5}`,
  eventId: `tenant-a:0123456789ab:${number}:0`,
  body: `{"n":${number}}`,
  ...changes,
});
const events = (count: number): NewEvent[] =>
  Array.from({ length: count }, (_, index) => event(index + 1));
const brokerOf = (server: string): string => new URL(server.replace(/^kafka/, "http")).host;

describeOnServer("kafka", (server) => {
  let prefix = "";
  beforeEach(() => {
    prefix = newKafkaPrefix();
  });
  afterEach(() => dropKafka(server, prefix));
  const open = (options = "") => openKafkaStream({ url: kafkaUrl(server, prefix, options) });

  describe("events in Kafka, past the store", () => {
    test("an event is a message: key, id in a header, body; on a topic with the partitions of the URL", async () => {
      await using stream = await open("partitions=3&replication=1");
      await stream.publish(scope, [event(1)]);
      const topic = `${prefix}.tenant-a.t`;
      const described = await withKafkaAdmin(server, (admin) =>
        admin.metadata({ topics: [topic] }),
      );
      expect(described.topics.get(topic)?.partitionsCount).toBe(3);
      const page = await stream.fetch(scope, topic, {
        positions: [0, 1, 2].map((partition) => ({ partition, offset: 0 })),
        messagesMax: 10,
        bytesMax: 1_000_000,
        waitMs: 0,
      });
      const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
      expect(page.messages.map(({ key, value }) => [text(key), text(value)])).toEqual([
        ["k1", '{"n":1}'],
      ]);
      expect(page.messages[0]?.headers.map(([name, value]) => [name, text(value)])).toEqual([
        ["event-id", "tenant-a:0123456789ab:1:0"],
      ]);
    });

    test("a group's offsets are a Kafka group's, so that its tools show how far it is behind", async () => {
      await using stream = await open();
      await stream.publish(scope, events(7));
      const page = await stream.poll(scope, "t", "siem", 3);
      await stream.acknowledge(scope, "t", "siem", page.at(-1)?.offset ?? "");
      const groupId = `${prefix}.tenant-a.siem`;
      const [group] = await withKafkaAdmin(server, (admin) =>
        admin.listConsumerGroupOffsets({ groups: [groupId] }),
      );
      expect(group?.topics).toMatchObject([
        { name: `${prefix}.tenant-a.t`, partitions: [{ partitionIndex: 0, committedOffset: 3n }] },
      ]);
    });

    test("a group whose offsets a consumer of its own keeps is not moved behind its back", async () => {
      await using stream = await open();
      await stream.publish(scope, events(3));
      const groupId = `${prefix}.tenant-a.own`;
      const consumer = new Consumer({
        clientId: "test",
        bootstrapBrokers: [brokerOf(server)],
        groupId,
      });
      onTestFinished(() => consumer.close(true));
      consumer.topics.trackAll(`${prefix}.tenant-a.t`);
      await consumer.joinGroup({});
      await expect(stream.acknowledge(scope, "t", "own", "2")).rejects.toMatchObject({
        name: "StoreError",
        code: "conflict",
      });
      await consumer.close(true);
    });

    test("events that Kafka has deleted are gone, and who reads from the beginning begins at the oldest", async () => {
      await using stream = await open();
      await stream.publish(scope, events(5));
      await withKafkaAdmin(server, (admin) =>
        admin.deleteRecords({
          topics: [{ name: `${prefix}.tenant-a.t`, partitions: [{ partition: 0, offset: 3n }] }],
        }),
      );
      const found = await stream.read(scope, "t", { after: "0", limit: 10 });
      expect(found.map(({ offset }) => offset)).toEqual(["4", "5"]);
      expect(await stream.read(scope, "t", { after: "9", limit: 10 })).toEqual([]);
    });

    test("topics that differ in dots and underscores alone are two", async () => {
      await using stream = await open();
      await stream.publish(scope, [event(1, { topic: "a.b" }), event(2, { topic: "a_b" })]);
      const read = async (topic: string): Promise<readonly string[]> =>
        (await stream.read(scope, topic, { after: "0", limit: 9 })).map(({ body }) => body);
      expect([await read("a.b"), await read("a_b")]).toEqual([['{"n":1}'], ['{"n":2}']]);
    });

    test("more events than one batch holds come in order, and one that is too large is refused", async () => {
      await using stream = await open();
      const body = JSON.stringify({ text: "x".repeat(100_000) });
      const many = Array.from({ length: 30 }, (_, index) => event(index, { key: "k", body }));
      await stream.publish(scope, many);
      const ids: string[] = [];
      for (let after = "0"; ids.length < 30;) {
        const page = await stream.read(scope, "t", { after, limit: 10_000 });
        ids.push(...page.map(({ eventId }) => eventId));
        after = page.at(-1)?.offset ?? "";
      }
      expect(ids).toEqual(many.map(({ eventId }) => eventId));
      const large = event(99, { body: "x".repeat(2_000_000) });
      await expect(stream.publish(scope, [large])).rejects.toMatchObject({ code: "limit" });
      await stream.publish(scope, [event(31)]);
    });

    test("two processes that publish and acknowledge at once leave nothing out", async () => {
      const url = kafkaUrl(server, prefix, "partitions=4");
      await using one = await openKafkaStream({ url });
      await using two = await openKafkaStream({ url });
      await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          Promise.all([
            one.publish(scope, [event(2 * index)]),
            two.publish(scope, [event(2 * index + 1)]),
          ]),
        ),
      );
      const found = await two.read(scope, "t", { after: "0", limit: 100 });
      expect(new Set(found.map(({ eventId }) => eventId)).size).toBe(20);
      const offsets = found.map(({ offset }) => offset);
      await Promise.all(
        offsets.map((offset, index) =>
          (index % 2 === 0 ? one : two).acknowledge(scope, "t", "g", offset),
        ),
      );
      await one.acknowledge(scope, "t", "g", offsets.at(-1) ?? "");
      expect(await one.poll(scope, "t", "g", 100)).toEqual([]);
    });

    test("a broker of the URL that is down is passed over", async () => {
      const url = kafkaUrl(server, prefix).replace("://", "://127.0.0.1:1,");
      await using stream = await openKafkaStream({ url });
      await stream.publish(scope, [event(1)]);
      expect(await stream.poll(scope, "t", "g", 9)).toHaveLength(1);
    });

    test("it says what it is", async () => {
      await using stream = await open();
      const { product, version, tookMs } = await stream.health();
      expect([product, /^\d+\.\d+/.test(version), tookMs > 0]).toEqual(["Kafka", true, true]);
    });
  });

  describe("evidence in Kafka", () => {
    const ask = (offset: number, partition = 0) => ({
      positions: [{ partition, offset }],
      messagesMax: 100,
      bytesMax: 1_000_000,
      waitMs: 0,
    });
    let topic = "";
    beforeEach(async () => {
      topic = `${prefix}.tenant-a.in`;
      await withKafkaAdmin(server, (admin) =>
        admin.createTopics({ topics: [topic], partitions: 2, replicas: 1 }),
      );
    });
    const put = (count: number, partition = 0): Promise<void> =>
      produceKafka(
        server,
        Array.from({ length: count }, (_, index) => ({ topic, partition, value: `${index}` })),
      );

    test("messages come with key, headers, time and place, from any position on", async () => {
      await using stream = await open();
      const headers = { tool: "falco" };
      const timestamp = 1_700_000_000_123n;
      const [key, value] = ["k", "v"];
      await produceKafka(server, [{ topic, partition: 1, key, value, headers, timestamp }]);
      await put(3, 1);
      expect(await stream.partitions(scope, topic)).toEqual([
        { partition: 0, start: 0, end: 0 },
        { partition: 1, start: 0, end: 4 },
      ]);
      const page = await stream.fetch(scope, topic, ask(0, 1));
      expect(page.messages[0]).toEqual({
        partition: 1,
        offset: 0,
        key: Buffer.from("k"),
        value: Buffer.from("v"),
        headers: [["tool", Buffer.from("falco")]],
        timestamp: 1_700_000_000_123,
      });
      const later = await stream.fetch(scope, topic, ask(3, 1));
      expect(later.messages.map(({ offset }) => offset)).toEqual([3]);
      expect(later.positions).toEqual([{ partition: 1, offset: 4 }]);
    });

    test("a page is shared by the partitions, and ends at its limit", async () => {
      await using stream = await open();
      await put(9, 0);
      await put(9, 1);
      const positions = [0, 1].map((partition) => ({ partition, offset: 2 }));
      const page = await stream.fetch(scope, topic, { ...ask(0), positions, messagesMax: 6 });
      expect(page.messages.map(({ partition, offset }) => [partition, offset])).toEqual([
        [0, 2],
        [0, 3],
        [0, 4],
        [1, 2],
        [1, 3],
        [1, 4],
      ]);
      expect(page.positions).toEqual([
        { partition: 0, offset: 5 },
        { partition: 1, offset: 5 },
      ]);
    });

    test("a transaction that was given up is left out, one that was ended is read, one that is open waited for", async () => {
      await using stream = await open();
      const producer = new Producer({
        clientId: "test",
        bootstrapBrokers: [brokerOf(server)],
        idempotent: true,
        transactionalId: prefix,
      });
      onTestFinished(() => producer.close(true));
      const send = async (text: string, end: "commit" | "abort"): Promise<void> => {
        const transaction = await producer.beginTransaction({});
        const value = Buffer.from(text);
        await transaction.send({ messages: [{ topic, partition: 0, value }] });
        const open = await stream.fetch(scope, topic, ask(0));
        expect(
          open.messages.map((message) => Buffer.from(message.value ?? []).toString()),
        ).not.toContain(text);
        await transaction[end]();
      };
      await send("kept", "commit");
      await send("given up", "abort");
      await send("kept too", "commit");
      const seen = async (): Promise<readonly string[]> => {
        const page = await stream.fetch(scope, topic, ask(0));
        return page.messages.map(({ value }) => Buffer.from(value ?? []).toString());
      };
      await expect.poll(seen).toEqual(["kept", "kept too"]);
      // Three messages and the three ends of their transactions.
      expect((await stream.fetch(scope, topic, ask(0))).positions).toEqual([
        { partition: 0, offset: 6 },
      ]);
    });

    test("a message comes within the time that is waited for it", async () => {
      await using stream = await open();
      const startedAt = performance.now();
      const waiting = stream.fetch(scope, topic, { ...ask(0), waitMs: 10_000 });
      await put(1);
      expect((await waiting).messages).toHaveLength(1);
      expect(performance.now() - startedAt).toBeLessThan(9_000);
    });

    test("messages that were deleted are counted as lost; a position beyond the end is refused", async () => {
      await using stream = await open();
      await put(5);
      await withKafkaAdmin(server, (admin) =>
        admin.deleteRecords({
          topics: [{ name: topic, partitions: [{ partition: 0, offset: 3n }] }],
        }),
      );
      const page = await stream.fetch(scope, topic, ask(1));
      expect([page.lost, page.messages.map(({ offset }) => offset)]).toEqual([2, [3, 4]]);
      await expect(stream.fetch(scope, topic, ask(6))).rejects.toMatchObject({ code: "refused" });
      expect((await stream.fetch(scope, topic, ask(5))).messages).toEqual([]);
      await expect(stream.fetch(scope, topic, ask(0, 2))).rejects.toMatchObject({
        code: "refused",
      });
    });

    test("a topic that is not there, or not the tenant's, is refused", async () => {
      await using stream = await open();
      const refused = { name: "StoreError", code: "refused" };
      await expect(stream.partitions(scope, `${prefix}-none`)).rejects.toMatchObject(refused);
      await expect(stream.partitions(scopeFor("tenant-b"), topic)).rejects.toMatchObject(refused);
      await expect(stream.fetch(scope, "__consumer_offsets", ask(0))).rejects.toMatchObject(
        refused,
      );
    });
  });
});

describe.skipIf(scramUrl === undefined)("Kafka that asks for a user", () => {
  const url = scramUrl ?? "kafka://none";

  test("lets in who knows the password; a wrong one is unavailable and never told", async () => {
    await using stream = await openKafkaStream({ url: kafkaUrl(url, newKafkaPrefix()) });
    expect((await stream.health()).product).toBe("Kafka");
    const wrong = url.replace("testbed-password", "wrong-secret");
    await using stranger = await openKafkaStream({ url: kafkaUrl(wrong, newKafkaPrefix()) });
    const failure = await stranger.health().catch((cause: unknown) => cause);
    expect(failure).toMatchObject({ code: "unavailable", retryable: true });
    expect(String(failure)).toContain("does not know this user and password");
    expect(String(failure)).not.toContain("secret");
  });
});

describe.skipIf(tlsUrl === undefined)("Kafka with TLS", () => {
  const url = tlsUrl ?? "kafka://none";

  test("the certificate of the given authority is trusted, any other is not, and clear text is told apart", async () => {
    await using stream = await openKafkaStream({ url: kafkaUrl(url, newKafkaPrefix()) });
    expect((await stream.health()).product).toBe("Kafka");
    const without = url.replace(/&ca=[^&]*/, "");
    await using untrusting = await openKafkaStream({ url: kafkaUrl(without, newKafkaPrefix()) });
    await expect(untrusting.health()).rejects.toMatchObject({ code: "unavailable" });
    const clear = `${url.split("?")[0]}?timeout=3000`;
    await using plain = await openKafkaStream({ url: kafkaUrl(clear, newKafkaPrefix()) });
    await expect(plain.health()).rejects.toThrow("tls=true");
  });
});

test("a stream opens although nobody listens, and says so at its first call", async () => {
  await using stream = await openKafkaStream({ url: "kafka://127.0.0.1:1?timeout=2000" });
  await expect(stream.read(scope, "t", { after: "0", limit: 1 })).rejects.toMatchObject({
    code: "unavailable",
    message: "Kafka could not read a topic: ECONNREFUSED",
  });
});
