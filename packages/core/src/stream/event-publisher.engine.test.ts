import { afterEach, beforeEach, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import { openKafkaStream } from "@custody/stores/stream/kafka";
import type { EventStream } from "@custody/stores/stream/port";
import { describeOnServer } from "@custody/stores/testing/engine-server";
import { dropKafka, kafkaUrl, newKafkaPrefix } from "@custody/stores/testing/kafka-server";

import type { Custody } from "../custody.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { onKafka, withMethod } from "../testing/on-kafka.ts";
import { attempt } from "../testing/sample-types.ts";

const TOPIC = "sample.attempts";

async function commit(custody: Custody, from: number, to: number): Promise<void> {
  const put = Array.from({ length: to - from + 1 }, (_, index) => ({
    fields: attempt(`a${String(from + index).padStart(6, "0")}`),
  }));
  await custody.commit(scope, [{ type: "sample/attempts", put }]);
}

const ids = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `a${String(from + index).padStart(6, "0")}`);

describeOnServer("kafka", (server) => {
  let [prefix, url] = ["", ""];
  beforeEach(() => {
    prefix = newKafkaPrefix();
    url = kafkaUrl(server, prefix);
  });
  afterEach(() => dropKafka(server, prefix));

  async function told(): Promise<readonly string[]> {
    await using stream = await openKafkaStream({ url });
    const events = await stream.read(scope, TOPIC, { after: "0", limit: 10_000 });
    return events.map(({ key }) => key);
  }

  test("what is committed is told in order, by itself, with ids and facts alone", async () => {
    await using installation = await openInstallation(onKafka(url));
    await commit(installation.custody, 1, 3);
    await expect.poll(told, { timeout: 10_000 }).toEqual(ids(1, 3));
    const [event] = await installation.custody.events.read(scope, TOPIC, { limit: 1 });
    expect(event).toMatchObject({ topic: TOPIC, key: "a000001", offset: "1" });
    expect(event?.eventId).toMatch(/^acme:[0-9a-f]{12}:1:0$/);
    expect(JSON.parse(event?.body ?? "")).toEqual({
      type: "sample/attempts",
      id: "a000001",
      sequence: 1,
      operation: "put",
      facts: { model: "aurora" },
    });
  });

  test("events of long ago and of now are told once where nothing fails, in batches", async () => {
    {
      await using before = await openInstallation();
      await commit(before.custody, 1, 2_500);
      await using after = await before.reopen(onKafka(url));
      await commit(after.custody, 2_501, 2_510);
      await after.custody.catchUp(scope);
      expect(await told()).toEqual(ids(1, 2_510));
      const { stream } = (await after.custody.status(scope)).roles;
      expect(stream).toMatchObject({ engine: "journal", lag: 0, condition: "ok" });
    }
  });

  test("what was left when an installation was closed is told when it is opened, without a call", async () => {
    await using before = await openInstallation();
    await commit(before.custody, 1, 5);
    await using _after = await before.reopen(onKafka(url));
    await expect.poll(told, { timeout: 10_000 }).toEqual(ids(1, 5));
  });

  test("a stream that is away is waited for, the state says why, and no commit and no store is delayed", async () => {
    let isAway = true;
    const away = (stream: EventStream): EventStream =>
      withMethod(stream, "publish", async (...call) => {
        if (isAway) throw new StoreError("unavailable", "away");
        await stream.publish(...call);
      });
    await using installation = await openInstallation(onKafka(url, away));
    const { custody } = installation;
    await commit(custody, 1, 3);
    await custody.catchUp(scope);
    expect((await custody.find(scope, "sample/attempts")).records).toHaveLength(3);
    expect((await custody.status(scope)).roles.stream).toMatchObject({
      lag: 1,
      condition: "waiting",
      reason: "away",
    });
    await commit(custody, 4, 4);
    isAway = false;
    await expect.poll(told, { timeout: 10_000 }).toEqual(ids(1, 4));
    await expect
      .poll(async () => (await custody.status(scope)).roles.stream)
      .toMatchObject({ lag: 0, condition: "ok" });
  });

  test("a crash between telling and remembering tells the batch again, in order, and leaves none out", async () => {
    let crashes = 2;
    const crashing = (stream: EventStream): EventStream =>
      withMethod(stream, "publish", async (...call) => {
        await stream.publish(...call);
        if (crashes-- > 0) throw new StoreError("unavailable", "no answer came");
      });
    await using installation = await openInstallation(onKafka(url, crashing));
    await commit(installation.custody, 1, 20);
    await expect
      .poll(told, { timeout: 10_000 })
      .toEqual([...ids(1, 20), ...ids(1, 20), ...ids(1, 20)]);
  });

  test("an event that the stream never takes is told as a failure, and the state keeps the reason", async () => {
    const refusing = (stream: EventStream): EventStream =>
      withMethod(stream, "publish", () => Promise.reject(new StoreError("limit", "too large")));
    await using installation = await openInstallation(onKafka(url, refusing));
    const { custody } = installation;
    await commit(custody, 1, 1);
    await expect(custody.catchUp(scope)).rejects.toMatchObject({
      name: "CoreError",
      code: "failed",
    });
    expect((await custody.status(scope)).roles.stream).toMatchObject({
      lag: 1,
      condition: "failed",
      reason: "too large",
    });
  });

  test("another tenant's events are told on a topic of its own", async () => {
    await using installation = await openInstallation(onKafka(url));
    const { custody } = installation;
    const other = { ...scope, tenant: "other" };
    await commit(custody, 1, 2);
    await custody.commit(other, [{ type: "sample/attempts", put: [{ fields: attempt("b1") }] }]);
    await custody.catchUp(other);
    await custody.catchUp(scope);
    expect((await custody.events.read(other, TOPIC)).map(({ key }) => key)).toEqual(["b1"]);
    expect(await told()).toEqual(ids(1, 2));
  });
});
