import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

// Names of error codes as the protocol's table has them (kafka.apache.org/protocol#protocol_error_codes).
const CODES: Readonly<Record<string, readonly [StoreErrorCode, string?]>> = {
  MESSAGE_TOO_LARGE: ["limit", "a message is larger than the topic takes (max.message.bytes)"],
  RECORD_LIST_TOO_LARGE: ["limit", "messages are larger than a segment of the topic"],
  INVALID_TOPIC_EXCEPTION: ["refused", "it does not take the topic's name"],
  INVALID_GROUP_ID: ["refused", "it does not take the group's name"],
  INVALID_REPLICATION_FACTOR: [
    "refused",
    "it has fewer brokers than copies are asked for: say replication=… in the URL",
  ],
  INVALID_PARTITIONS: ["refused", "it does not take that number of partitions"],
  POLICY_VIOLATION: ["refused", "its policy does not allow the topic"],
  TOPIC_AUTHORIZATION_FAILED: ["read-only", "its user may not do that with the topic (ACL)"],
  GROUP_AUTHORIZATION_FAILED: ["read-only", "its user may not do that with the group (ACL)"],
  CLUSTER_AUTHORIZATION_FAILED: ["read-only", "its user may not do that in the cluster (ACL)"],
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ["read-only", "its user lacks the permission (ACL)"],
  UNSUPPORTED_SASL_MECHANISM: ["unavailable", "it has no such SASL mechanism; see sasl=…"],
  SASL_AUTHENTICATION_FAILED: ["unavailable", "it does not know this user and password"],
  ILLEGAL_SASL_STATE: ["unavailable", "it asks for a user: say sasl=… in the URL"],
  UNSUPPORTED_VERSION: ["unsupported", "it is too old or too new for the client"],
  UNSUPPORTED_COMPRESSION_TYPE: ["unsupported", "the compression is not supported"],
  UNKNOWN_MEMBER_ID: ["conflict", "the group has members that keep its offsets themselves"],
  NON_EMPTY_GROUP: ["conflict", "the group has members that keep its offsets themselves"],
  OFFSET_OUT_OF_RANGE: ["refused", "the offset is not within the topic"],
  CORRUPT_MESSAGE: ["corrupt", "a message is damaged"],
  UNKNOWN_SERVER_ERROR: ["unavailable", "it failed (UNKNOWN_SERVER_ERROR)"],
};

// What passes when a topic has just been made, or when its leader or a coordinator moves.
const PASSING = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "UNKNOWN_TOPIC_ID",
  "INCONSISTENT_TOPIC_ID",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_OR_FOLLOWER",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "COORDINATOR_LOAD_IN_PROGRESS",
  "COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR",
  "NOT_CONTROLLER",
]);

// The library's own codes (`errorCodes` in its errors.ts).
const LIBRARY_CODES: Readonly<Record<string, readonly [StoreErrorCode, string]>> = {
  PLT_KFK_AUTHENTICATION: ["unavailable", "it does not know this user and password"],
  PLT_KFK_NETWORK: ["unavailable", "the connection is lost, or no answer came in time"],
  PLT_KFK_TIMEOUT: ["unavailable", "no answer came in time"],
  PLT_KFK_UNEXPECTED_CORRELATION_ID: ["unavailable", "its answer was to another question"],
  PLT_KFK_UNSUPPORTED_API: ["unsupported", "it is too old, or too new for the client"],
  PLT_KFK_UNSUPPORTED: ["unsupported", "it is too old, or too new for the client"],
  PLT_KFK_UNSUPPORTED_COMPRESSION: ["unsupported", "the compression is not supported"],
  PLT_KFK_OUT_OF_BOUNDS: ["unavailable", "its answer broke off"],
  // The server speaks TLS and we do not, or the reverse; certificates are Node's own errors.
  PLT_KFK_USER: ["unavailable", "it cannot be talked to: is tls=true missing, or one too many?"],
};

/** Something that passes by itself, which the server does not call an error. */
export class KafkaPassing extends Error {
  override readonly name = "KafkaPassing";
}

/** Maps what the Kafka library throws; what is no answer of a server is the network's, hence `unavailable`. */
export function mapKafkaError(doing: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const said = (code: StoreErrorCode, what: string): StoreError =>
    new StoreError(code, `Kafka could not ${doing}: ${what}`, { cause });
  if (cause instanceof KafkaPassing) return said("unavailable", cause.message);
  const id = kafkaErrorId(cause);
  if (id !== undefined) {
    const [code, what = id] = CODES[id] ?? [];
    return said(code ?? "unavailable", what);
  }
  const errors = chain(cause);
  // Codes of Node: of sockets, of names, of certificates.
  const system = errors.map(codeOf).find((code) => code !== "" && !code.startsWith("PLT_"));
  if (system !== undefined) return said("unavailable", system);
  // The innermost says most: around it are `MULTIPLE` and `NETWORK`.
  const own = errors.map(codeOf).findLast((code) => LIBRARY_CODES[code] !== undefined);
  const [code, what] = LIBRARY_CODES[own ?? ""] ?? ["unavailable", "unknown"];
  return said(code, what);
}

/** The name of the first error that a server has answered: `MESSAGE_TOO_LARGE`; `undefined` for none. */
export function kafkaErrorId(cause: unknown): string | undefined {
  for (const error of chain(cause)) {
    if ("apiId" in error && typeof error.apiId === "string") return error.apiId;
  }
  return undefined;
}

/** Whether an answer says that the same is worth asking again at once: something is just moving. */
export function isKafkaPassing(cause: unknown): boolean {
  if (cause instanceof KafkaPassing) return true;
  const id = kafkaErrorId(cause);
  return id !== undefined && PASSING.has(id);
}

/** An error and everything that it holds, outermost first. */
function chain(cause: unknown, depth = 0): readonly Error[] {
  if (!(cause instanceof Error) || depth > DEPTH_MAX) return [];
  const within: readonly unknown[] = cause instanceof AggregateError ? cause.errors : [];
  return [cause, ...[...within, cause.cause].flatMap((one) => chain(one, depth + 1))];
}

const DEPTH_MAX = 8;

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
