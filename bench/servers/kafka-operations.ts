import { Admin, ProduceAcks, Producer } from "@platformatic/kafka";

import { openKafkaStream } from "@custody/stores/stream/kafka";

import { SCOPE } from "../custody-scope.ts";
import { installationOf } from "./raw-server.ts";
import type { Measured } from "./measured.ts";

const EVENTS = 5_000;
const EVENTS_A_CALL = 500;
const BODY = JSON.stringify({ session_id: "s".repeat(36), model: "m".repeat(20), probe: "p" });

/** Events of about 100 bytes, 500 a call. */
export async function streamOperations(url: string): Promise<Measured> {
  const bootstrapBrokers = [/^[^:]+:\/\/([^/?]*)/.exec(url)?.[1] ?? ""];
  const installation = installationOf(url);
  const topic = `${installation}.raw`;
  const admin = new Admin({ clientId: "bench", bootstrapBrokers });
  await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 });
  const producer = new Producer({
    clientId: "bench",
    bootstrapBrokers,
    idempotent: true,
    acks: ProduceAcks.ALL,
  });
  const stream = await openKafkaStream({ url });
  const events = (run: string, from: number): readonly { key: string; eventId: string }[] =>
    Array.from({ length: EVENTS_A_CALL }, (_, index) => ({
      key: `record-${from + index}`,
      eventId: `bench:${run}:${from + index}`,
    }));
  return {
    pairs: [
      {
        name: "stream publish, 500 a call",
        unit: "events/s",
        amount: EVENTS,
        raw: async (run) => {
          for (let from = 0; from < EVENTS; from += EVENTS_A_CALL) {
            await producer.send({
              messages: events(run, from).map(({ key, eventId }) => ({
                topic,
                key: Buffer.from(key),
                value: Buffer.from(BODY),
                headers: new Map([[Buffer.from("event-id"), Buffer.from(eventId)]]),
              })),
            });
          }
        },
        store: async (run) => {
          for (let from = 0; from < EVENTS; from += EVENTS_A_CALL) {
            const told = events(run, from).map((one) => ({ ...one, topic: "bench", body: BODY }));
            await stream.publish(SCOPE, told);
          }
        },
      },
    ],
    close: async () => {
      await producer.close();
      await stream[Symbol.asyncDispose]();
      const topics = (await admin.listTopics()).filter((name) =>
        name.startsWith(`${installation}.`),
      );
      if (topics.length > 0) await admin.deleteTopics({ topics });
      await admin.close();
    },
  };
}
