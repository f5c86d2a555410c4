import { randomUUID } from "node:crypto";

import { Admin, Producer } from "@platformatic/kafka";
import type { MessageToProduce } from "@platformatic/kafka";

import { serverName } from "./engine-server.ts";

/** A prefix of topics and groups that no other test has. */
export const newKafkaPrefix = (): string => serverName(randomUUID());

/** The server's URL with a prefix of its own and further options. */
export function kafkaUrl(server: string, prefix: string, options = ""): string {
  const [before = "", query = ""] = server.split("?");
  const together = [query, options].filter((part) => part !== "").join("&");
  return `${before}/${prefix}${together === "" ? "" : `?${together}`}`;
}

/** The server itself, past the store. */
export async function withKafkaAdmin<Result>(
  server: string,
  work: (admin: Admin) => Promise<Result>,
): Promise<Result> {
  const admin = new Admin({ clientId: "test", bootstrapBrokers: [brokerOf(server)] });
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

/** Puts messages on topics, as another program would. */
export async function produceKafka(
  server: string,
  messages: readonly MessageToProduce<string, string | Buffer, string, string>[],
): Promise<void> {
  const producer = new Producer<string, string | Buffer, string, string>({
    clientId: "test",
    bootstrapBrokers: [brokerOf(server)],
    // A new topic's partitions may take a message twice from one that is not, when it resends.
    idempotent: true,
    serializers: {
      key: (key) => (key === undefined ? undefined : Buffer.from(key)),
      value: (value) => (value === undefined ? undefined : Buffer.from(value)),
      headerKey: (name) => (name === undefined ? undefined : Buffer.from(name)),
      headerValue: (value) => (value === undefined ? undefined : Buffer.from(value)),
    },
  });
  try {
    await producer.send({ messages: [...messages] });
  } finally {
    await producer.close();
  }
}

/** Drops the topics and groups whose names begin with a prefix and a dot. */
export async function dropKafka(server: string, prefix: string): Promise<void> {
  await withKafkaAdmin(server, async (admin) => {
    const isOurs = (name: string): boolean => name.startsWith(`${prefix}.`);
    const topics = (await admin.listTopics()).filter(isOurs);
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const groups = [...(await admin.listGroups()).keys()].filter(isOurs);
    if (groups.length > 0) await admin.deleteGroups({ groups });
  });
}

function brokerOf(server: string): string {
  return new URL(server.replace(/^kafkas?:/, "http:")).host;
}
