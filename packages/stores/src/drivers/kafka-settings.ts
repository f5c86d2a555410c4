import { StoreError } from "../errors.ts";
import { parseServerUrl } from "./server-settings.ts";
import type { ServerSettings, ServerUrlRules } from "./server-settings.ts";

/** How a client proves to Kafka who it is. */
export type KafkaSasl =
  | {
      readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
      readonly username: string;
      readonly password: string;
    }
  | { readonly mechanism: "OAUTHBEARER"; readonly tokenFile: string };

/** What the URL of a Kafka cluster says. */
export interface KafkaSettings extends ServerSettings {
  /** What every topic and every group of this installation begins with. */
  readonly prefix: string;
  /** Partitions of a topic that is made here. */
  readonly partitions: number;
  /** Copies of a topic that is made here; -1 for the cluster's own default. */
  readonly replication: number;
  readonly sasl?: KafkaSasl;
}

/** Offsets of a stream name each partition, so there is a limit to them. */
export const KAFKA_PARTITIONS_MAX = 64;

const RULES: ServerUrlRules = {
  product: "Kafka",
  schemes: { kafka: "clear", kafkas: "tls" },
  defaultPort: 9_092,
  options: ["sasl", "token-file", "partitions", "replication"],
};

const MECHANISMS = {
  plain: "PLAIN",
  "scram-sha-256": "SCRAM-SHA-256",
  "scram-sha-512": "SCRAM-SHA-512",
} as const;

/** Reads the URL of a Kafka cluster. @throws StoreError `refused` naming what is wrong. */
export function readKafkaSettings(url: string): KafkaSettings {
  const server = parseServerUrl(url, RULES);
  const { partitions = "1", replication = "-1" } = server.options;
  const prefix = server.path === "" ? "custody" : server.path;
  // A dot would let two prefixes name the same topic; Kafka takes `_` and `.` for the same.
  if (!/^[A-Za-z0-9-]{1,64}$/.test(prefix)) {
    throw wrong("its path is the prefix of topics and groups: 1 to 64 of A-Z a-z 0-9 -");
  }
  const count = wholeNumber(partitions);
  if (count === undefined || count > KAFKA_PARTITIONS_MAX) {
    throw wrong(`partitions is a whole number from 1 to ${KAFKA_PARTITIONS_MAX}`);
  }
  const copies = replication === "-1" ? -1 : wholeNumber(replication);
  if (copies === undefined) throw wrong("replication is a whole number from 1");
  const sasl = readSasl(server);
  return {
    ...server,
    prefix,
    partitions: count,
    replication: copies,
    ...(sasl === undefined ? {} : { sasl }),
  };
}

function readSasl({ user, password, options }: ServerSettings): KafkaSasl | undefined {
  const { sasl = user === undefined ? undefined : "scram-sha-512", "token-file": tokenFile } =
    options;
  if (sasl === "oauthbearer") {
    if (tokenFile === undefined) throw wrong("sasl=oauthbearer needs token-file=FILE");
    return { mechanism: "OAUTHBEARER", tokenFile };
  }
  if (tokenFile !== undefined) throw wrong("token-file needs sasl=oauthbearer");
  if (sasl === undefined) return undefined;
  if (!isMechanism(sasl)) {
    throw wrong(`sasl is one of ${Object.keys(MECHANISMS).join(", ")}, oauthbearer`);
  }
  if (user === undefined || password === undefined) {
    throw wrong(`sasl=${sasl} needs a user and a password`);
  }
  return { mechanism: MECHANISMS[sasl], username: user, password };
}

function isMechanism(text: string): text is keyof typeof MECHANISMS {
  return Object.hasOwn(MECHANISMS, text);
}

function wholeNumber(text: string): number | undefined {
  return /^[1-9]\d{0,4}$/.test(text) ? Number(text) : undefined;
}

function wrong(what: string): StoreError {
  return new StoreError("refused", `the URL of Kafka cannot be used: ${what}`);
}
