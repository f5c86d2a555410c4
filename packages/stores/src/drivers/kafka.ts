import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

import type * as Kafka from "@platformatic/kafka";

import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds, withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { isKafkaPassing, KafkaPassing, kafkaErrorId, mapKafkaError } from "./kafka-errors.ts";
import { readKafkaSettings } from "./kafka-settings.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import { checkKafkaApis, kafkaVersion } from "./kafka-version.ts";

/** One call, for its message and its time limit. */
export interface KafkaCall {
  readonly scope: Scope;
  /** What it does: `read a topic`. */
  readonly doing: string;
}

/** A topic as the cluster has it. */
export interface KafkaTopic {
  readonly name: string;
  /** The cluster's own name of it; the nil UUID where it is too old to give one. */
  readonly id: string;
  /** The broker that leads each partition, by the partition's number. */
  readonly leaders: readonly Kafka.Broker[];
}

/** What a call works with; {@link KafkaCluster.call} limits its time. */
export interface KafkaWork {
  readonly library: typeof Kafka;
  readonly admin: Kafka.Admin;
  /** The newest version that the cluster speaks of an API: `Fetch`; -1 where it has none. */
  readonly apiVersion: (name: string) => number;
}

/** Messages that are sent in one request. */
export type KafkaBatch = readonly Kafka.MessageToProduce[];

const PASSING_PAUSE_MS = 25;
const PASSING_PAUSE_MS_MAX = 250;
/** How long what is known of topics is believed; a topic may get partitions meanwhile. */
const TOPICS_MS = 5_000;
const TOPICS_MAX = 1_000;
const SENDING_RETRIES = 3;
const SENDING_RETRY_MS = 100;

/** KafkaCluster: one client that asks and one that sends, and calls that each end within their time. */
export class KafkaCluster implements AsyncDisposable {
  readonly settings: KafkaSettings;
  readonly #library: typeof Kafka;
  readonly #admin: Kafka.Admin;
  readonly #topics = new Map<string, { readonly topic: KafkaTopic; readonly at: number }>();
  #producer: Kafka.Producer | undefined;
  #apis: ReadonlyMap<string, number> | undefined;

  private constructor(library: typeof Kafka, settings: KafkaSettings) {
    this.#library = library;
    this.settings = settings;
    this.#admin = watched(new library.Admin({ ...clientOptions(settings), retries: 0 }));
  }

  /** Reads the URL and loads the client; connects at the first call. */
  static async open(url: string): Promise<KafkaCluster> {
    const settings = readKafkaSettings(url);
    const library = await loadClientLibrary(() => import("@platformatic/kafka"), {
      product: "Kafka",
      install: "@platformatic/kafka@2",
    });
    return new KafkaCluster(library, settings);
  }

  /** Does work within the time limit, again while a topic or a leader is just moving. */
  async call<Result>(of: KafkaCall, work: (with_: KafkaWork) => Promise<Result>): Promise<Result> {
    const ms = callMilliseconds(of.scope, this.settings.timeoutMs, Date.now());
    try {
      return await withinMilliseconds(ms, `Kafka, asked to ${of.doing},`, async (signal) => {
        for (
          let pauseMs = PASSING_PAUSE_MS;
          ;
          pauseMs = Math.min(pauseMs * 2, PASSING_PAUSE_MS_MAX)
        ) {
          try {
            const apis = (this.#apis ??= await this.#askApis());
            const apiVersion = (name: string): number => apis.get(name) ?? -1;
            return await work({ library: this.#library, admin: this.#admin, apiVersion });
          } catch (cause) {
            this.#topics.clear();
            if (!isKafkaPassing(cause) || signal.aborted) throw cause;
            await pause(pauseMs);
          }
        }
      });
    } catch (cause) {
      throw mapKafkaError(of.doing, cause);
    }
  }

  /** The topic of that name, as it stood a few seconds ago or now; `undefined` when there is none. */
  async topic({ library, admin }: KafkaWork, name: string): Promise<KafkaTopic | undefined> {
    const known = this.#topics.get(name);
    if (known !== undefined && performance.now() - known.at < TOPICS_MS) return known.topic;
    const connection = await anyBroker(admin, this.settings);
    let answer: Kafka.metadataV12.MetadataResponse;
    try {
      answer = await library.metadataV12.api.async(connection, [name], false, false);
    } catch (cause) {
      if (kafkaErrorId(cause) === "UNKNOWN_TOPIC_OR_PARTITION") return undefined;
      throw cause;
    }
    const [found] = answer.topics;
    if (found === undefined) return undefined;
    const brokers = new Map(
      answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]),
    );
    const leaders = found.partitions
      .toSorted((left, right) => left.partitionIndex - right.partitionIndex)
      .map(({ leaderId }) => brokers.get(leaderId));
    if (!leaders.every((leader) => leader !== undefined)) {
      throw new KafkaPassing("a partition of the topic has no leader");
    }
    const topic = { name, id: found.topicId, leaders };
    if (this.#topics.size >= TOPICS_MAX) this.#topics.clear();
    this.#topics.set(name, { topic, at: performance.now() });
    return topic;
  }

  /** The topic of that name, made where there is none. */
  async madeTopic(work: KafkaWork, name: string): Promise<KafkaTopic> {
    const found = await this.topic(work, name);
    if (found !== undefined) return found;
    const { partitions, replication: replicas } = this.settings;
    try {
      await work.admin.createTopics({ topics: [name], partitions, replicas });
    } catch (cause) {
      // Another process may have made it at the same moment.
      if (kafkaErrorId(cause) !== "TOPIC_ALREADY_EXISTS") throw cause;
    }
    const made = await this.topic(work, name);
    if (made !== undefined) return made;
    throw new KafkaPassing("the topic that was just made is not known yet");
  }

  /**
   * Sends messages in order, and waits until all copies in sync have them. Resent within a call they
   * are not doubled; when the call fails, nobody knows how many have arrived.
   */
  async send(of: KafkaCall, topic: string, batches: readonly KafkaBatch[]): Promise<void> {
    const producer = (this.#producer ??= this.#makeProducer());
    let sent = 0;
    try {
      await this.call(of, async (work) => {
        await this.madeTopic(work, topic);
        for (; sent < batches.length; sent += 1) {
          await producer.send({ messages: [...(batches[sent] ?? [])] });
        }
      });
    } catch (cause) {
      // What may still be under way must not come after what is sent next, nor use its numbers.
      if (this.#producer === producer) this.#producer = undefined;
      producer.close(true).catch(() => undefined);
      throw cause;
    }
  }

  async health(): Promise<EngineHealth> {
    const scope = { tenant: "health", actor: "health", deadline: Number.POSITIVE_INFINITY };
    const startedAt = performance.now();
    const version = await this.call(
      { scope, doing: "tell its version" },
      async ({ library, admin }) => {
        const connection = await anyBroker(admin, this.settings);
        return kafkaVersion(await library.apiVersionsV3.api.async(connection, "custody", "1"));
      },
    );
    return { product: "Kafka", version, tookMs: performance.now() - startedAt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A connection that is lost already cannot be closed.
    const closing = [this.#producer, this.#admin].map(async (client) => client?.close());
    await Promise.allSettled(closing);
  }

  async #askApis(): Promise<ReadonlyMap<string, number>> {
    const apis = await this.#admin.listApis();
    const versions = new Map(apis.map(({ name, maxVersion }) => [name, maxVersion]));
    checkKafkaApis(versions);
    return versions;
  }

  #makeProducer(): Kafka.Producer {
    return watched(
      new this.#library.Producer({
        ...clientOptions(this.settings),
        idempotent: true,
        acks: this.#library.ProduceAcks.ALL,
        // Resending is safe: the broker knows a message by its number.
        retries: SENDING_RETRIES,
        retryDelay: SENDING_RETRY_MS,
        repeatOnStaleMetadata: true,
      }),
    );
  }
}

function clientOptions(settings: KafkaSettings): Kafka.AdminOptions {
  const { hosts, tls, timeoutMs, connectMs, prefix, sasl } = settings;
  return {
    clientId: `custody-${prefix}`,
    bootstrapBrokers: [...hosts],
    connectTimeout: connectMs,
    requestTimeout: timeoutMs,
    // What the broker may take to reach its replicas.
    timeout: timeoutMs,
    autocreateTopics: false,
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.cert === undefined ? {} : { cert: tls.cert }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
            rejectUnauthorized: tls.isVerified,
          },
          // An address has no name to be asked for (RFC 6066 §3).
          tlsServerName: hosts.every(({ host }) => isIP(host) === 0),
        }),
    ...(sasl === undefined ? {} : { sasl: saslOptions(sasl) }),
  };
}

function saslOptions(sasl: NonNullable<KafkaSettings["sasl"]>): Kafka.SASLOptions {
  if (sasl.mechanism !== "OAUTHBEARER") return { ...sasl };
  const { mechanism, tokenFile } = sasl;
  // Read for each connection, as whoever writes it renews the token.
  return { mechanism, token: async () => (await readFile(tokenFile, "utf8")).trim() };
}

/** A broker to ask what any of them knows: one that answers already, else the first of the URL that does. */
async function anyBroker(admin: Kafka.Admin, { hosts }: KafkaSettings): Promise<Kafka.Connection> {
  for (const [, connection] of admin.connections) {
    if (connection.isConnected()) return connection;
  }
  return await admin.connections.getFirstAvailable([...hosts]);
}

/** Each call is told of its own failure; an error that nobody listens for would end the process. */
function watched<Client extends Kafka.Base>(client: Client): Client {
  client.connections.on("connecting", ({ connection }) => connection.on("error", () => undefined));
  return client;
}
