import { hash } from "node:crypto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import { describeOnServer } from "@custody/stores/testing/engine-server";
import {
  dropKafka,
  kafkaUrl,
  newKafkaPrefix,
  produceKafka,
  withKafkaAdmin,
} from "@custody/stores/testing/kafka-server";

import type { Custody } from "../custody.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { onKafka, withMethod } from "../testing/on-kafka.ts";
import { attempt } from "../testing/sample-types.ts";
import type { ConsumeReport } from "./consume.ts";

const type = "sample/attempts";
const id = (number: number): string => `a${String(number).padStart(6, "0")}`;
const json = (number: number, changes = {}): string => JSON.stringify(attempt(id(number), changes));

async function idsIn(custody: Custody, of = type): Promise<readonly string[]> {
  const { records } = await custody.find(scope, of, {
    limit: 10_000,
    sort: [{ path: "id", direction: "asc" }],
  });
  return records.map((record) => record.id);
}

const counts = (changes: Partial<ConsumeReport>): ConsumeReport => ({
  messages: 0,
  records: 0,
  duplicates: 0,
  rejected: 0,
  lost: 0,
  ...changes,
});

describeOnServer("kafka", (server) => {
  let [prefix, topic] = ["", ""];
  beforeEach(() => {
    prefix = newKafkaPrefix();
    // Of the tenant's own topics, so that it goes with them.
    topic = `${prefix}.acme.findings`;
  });
  afterEach(() => dropKafka(server, prefix));

  const make = (partitions: number): Promise<unknown> =>
    withKafkaAdmin(server, (admin) =>
      admin.createTopics({ topics: [topic], partitions, replicas: 1 }),
    );
  const put = (values: readonly (string | Buffer)[]): Promise<void> =>
    produceKafka(
      server,
      values.map((value, index) => ({ topic, key: `k${index % 7}`, value })),
    );

  describe("evidence from a topic", () => {
    test("each message's record is committed once, and the next reading goes on from there", async () => {
      await make(3);
      await put([json(1), json(2), `[${json(3)},${json(4)}]`, "[]"]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const { custody } = installation;
      const first = await custody.consume(scope, { topic, type }, { maxMessages: 4 });
      expect(first).toEqual(counts({ messages: 4, records: 4 }));
      expect(await idsIn(custody)).toEqual([1, 2, 3, 4].map(id));
      await put([json(5), json(2)]);
      const second = await custody.consume(scope, { topic, type }, { maxMessages: 2 });
      expect(second).toEqual(counts({ messages: 2, records: 1, duplicates: 1 }));
      const { records } = await custody.find(scope, "custody/stream_positions");
      const reached = records.map(({ fields }) => Number(fields["next_offset"]));
      expect(reached.reduce((sum, each) => sum + each, 0)).toBe(6);
      expect(records[0]?.fields).toMatchObject({ topic, type });
    });

    test("records and positions are entries of one commit", async () => {
      await make(1);
      await put([json(1)]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const { custody } = installation;
      await custody.consume(scope, { topic, type }, { maxMessages: 1 });
      const record = await custody.trace(scope, type, id(1));
      const position = await custody.trace(scope, "custody/stream_positions", `${topic}/0`);
      expect(record.entry.commit).toBe(position.entry.commit);
      expect(record.entry.tool).toBe("stream");
      expect(await custody.verify(scope)).toMatchObject({ ok: true });
    });

    test("what is no record is kept with its reason and its text, and the rest goes on", async () => {
      await make(1);
      const bytes = Buffer.from([0xff, 0xfe]);
      await put([
        json(1),
        "no json",
        json(2, { score: "high" }),
        `[${json(3)},${json(4, { model: 7 })}]`,
        bytes,
        json(1, { score: 0.75 }),
        json(5),
      ]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const { custody } = installation;
      const report = await custody.consume(scope, { topic, type }, { maxMessages: 7 });
      expect(report).toEqual(counts({ messages: 7, records: 3, rejected: 5 }));
      expect(await idsIn(custody)).toEqual([1, 3, 5].map(id));
      const { records } = await custody.find(scope, "custody/rejected_inputs", {
        sort: [{ path: "at", direction: "asc" }],
      });
      const found = records.map(({ fields }) => [fields["at"], fields["reason"]]);
      expect(found).toEqual([
        [`${topic}/0/1`, expect.stringContaining("JSON")],
        [`${topic}/0/2`, expect.stringContaining("score")],
        [`${topic}/0/3#1`, expect.stringContaining("model")],
        [`${topic}/0/4`, "the message is no UTF-8 text"],
        [`${topic}/0/5`, expect.stringContaining("never change")],
      ]);
      expect(records[0]?.fields).toMatchObject({
        name: topic,
        text: "no json",
        sha256: hash("sha256", "no json"),
      });
    });

    test("what only the commit refuses is found and rejected: a name that is taken", async () => {
      await make(1);
      const user = (number: number, login: string): string =>
        JSON.stringify({ id: `u${number}`, login });
      const users = Array.from({ length: 9 }, (_, index) => user(index, `login ${index}`));
      await put([...users, user(9, "login 3"), user(10, "login 10")]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const { custody } = installation;
      const source = { topic, type: "sample/users" };
      const report = await custody.consume(scope, source, { maxMessages: 11 });
      expect(report).toEqual(counts({ messages: 11, records: 10, rejected: 1 }));
      const { records } = await custody.find(scope, "custody/rejected_inputs");
      expect(records.map(({ fields }) => fields["at"])).toEqual([`${topic}/0/9`]);
    });

    test("two readers at once commit each message's record once between them", async () => {
      await make(2);
      const total = 600;
      await put(Array.from({ length: total }, (_, index) => json(index + 1)));
      const limited = onKafka(kafkaUrl(server, prefix), (stream) =>
        withMethod(stream, "fetch", (of, name, request) =>
          stream.fetch(of, name, { ...request, messagesMax: Math.min(request.messagesMax, 25) }),
        ),
      );
      await using installation = await openInstallation(limited);
      const { custody } = installation;
      const stop = new AbortController();
      let committed = 0;
      const read = (): Promise<ConsumeReport> => {
        let before = 0;
        return custody.consume(
          scope,
          { topic, type },
          {
            signal: stop.signal,
            onProgress: ({ messages }) => {
              committed += messages - before;
              before = messages;
              if (committed >= total) stop.abort();
            },
          },
        );
      };
      const [one, two] = await Promise.all([read(), read()]);
      expect(one.messages + two.messages).toBe(total);
      expect(one.records + two.records).toBe(total);
      expect(one.duplicates + two.duplicates + one.rejected + two.rejected).toBe(0);
      expect(await idsIn(custody)).toHaveLength(total);
    });

    test("a server that is away is waited for, and nothing is lost or doubled", async () => {
      await make(1);
      await put([json(1), json(2), json(3)]);
      let asked = 0;
      const flaky = onKafka(kafkaUrl(server, prefix), (stream) =>
        withMethod(stream, "fetch", async (...call) => {
          asked += 1;
          if (asked % 4 !== 0) throw new StoreError("unavailable", "away");
          return await stream.fetch(...call);
        }),
      );
      await using installation = await openInstallation(flaky);
      const report = await installation.custody.consume(scope, { topic, type }, { maxMessages: 3 });
      expect(report).toEqual(counts({ messages: 3, records: 3 }));
    });

    test("begin and end of a reading are in the audit log, with what came of it", async () => {
      await make(1);
      await put([json(1)]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const { custody } = installation;
      await custody.consume(scope, { topic, type }, { maxMessages: 1 });
      const { records } = await custody.find(scope, "custody/audit_logs", {
        filter: { action: { $in: ["consume.start", "consume.stop"] } },
        sort: [{ path: "action", direction: "asc" }],
      });
      expect(records.map(({ fields }) => fields)).toMatchObject([
        { action: "consume.start", resource: topic, outcome: "done", metadata: { type } },
        { action: "consume.stop", outcome: "done", metadata: { type, messages: 1, records: 1 } },
      ]);
    });

    test("a signal ends a reading that waits for more", async () => {
      await make(1);
      await put([json(1)]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const stop = new AbortController();
      const report = await installation.custody.consume(
        scope,
        { topic, type },
        {
          signal: stop.signal,
          onProgress: () => stop.abort(),
        },
      );
      expect(report).toEqual(counts({ messages: 1, records: 1 }));
    });

    test("a topic is read as one type, and refused as another", async () => {
      await make(1);
      await put([json(1)]);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const { custody } = installation;
      await custody.consume(scope, { topic, type }, { maxMessages: 1 });
      const again = custody.consume(scope, { topic, type: "sample/assets" }, { maxMessages: 1 });
      await expect(again).rejects.toMatchObject({ name: "CoreError", code: "conflict" });
    });

    test.each([
      ["a topic that does not exist", { topic: "no-such-topic" }, "refused"],
      ["another tenant's events", { topic: "" }, "refused"],
      ["the audit log, which is Custody's own", { type: "custody/audit_logs" }, "usage"],
      ["a type that does not exist", { type: "sample/nothing" }, "usage"],
    ])("%s cannot be read", async (_, changes, code) => {
      await make(1);
      await using installation = await openInstallation(onKafka(kafkaUrl(server, prefix)));
      const source = { topic, type, ...changes };
      const foreign =
        source.topic === "" ? { ...source, topic: `${prefix}.other.findings` } : source;
      await expect(
        installation.custody.consume(scope, foreign, { maxMessages: 1 }),
      ).rejects.toMatchObject({ code });
    });
  });
});
