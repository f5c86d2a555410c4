import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

// The first word of an error is its code (redis.io/docs/latest/develop/reference/protocol-spec).
const CODES: Readonly<Record<string, StoreErrorCode>> = {
  OOM: "full",
  // Snapshots cannot be written, so the server takes no writes.
  MISCONF: "full",
  NOREPLICAS: "unavailable",
  READONLY: "read-only",
  // The user may not run the command, or not on this key (ACL).
  NOPERM: "read-only",
  LOADING: "unavailable",
  BUSY: "unavailable",
  MASTERDOWN: "unavailable",
  CLUSTERDOWN: "unavailable",
  TRYAGAIN: "unavailable",
  MOVED: "unavailable",
  ASK: "unavailable",
  CROSSSLOT: "unavailable",
  NOAUTH: "unavailable",
  WRONGPASS: "unavailable",
  UNKILLABLE: "unavailable",
  // Another program keeps something else under our key.
  WRONGTYPE: "corrupt",
};

const ADVICE: Readonly<Record<string, string>> = {
  OOM: "its memory is full (maxmemory)",
  MISCONF: "it cannot write its snapshots, so it takes no writes",
  READONLY: "it is a replica: name the primary, or its sentinels, in the URL",
  NOPERM: "its user lacks the permission (ACL)",
  NOAUTH: "it asks for a password",
  WRONGPASS: "it does not know this user and password",
  MOVED: "it is part of a cluster: say cluster=true in the URL",
  CROSSSLOT: "it is part of a cluster: say cluster=true in the URL",
  LOADING: "it is loading its data",
};

/** Maps what the Redis library throws; what is no answer of a server is the network's, hence `unavailable`. */
export function mapRedisError(doing: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  if (!isAnswer(cause)) {
    return new StoreError("unavailable", `Redis could not ${doing}: ${networkReason(cause)}`, {
      cause,
    });
  }
  const word = errorWord(cause);
  const what = ADVICE[word] ?? word;
  return new StoreError(CODES[word] ?? "refused", `Redis could not ${doing}: ${what}`, { cause });
}

/** The code of an answer that is an error: `OOM`; `undefined` for what is none. */
export function redisErrorWord(cause: unknown): string | undefined {
  return isAnswer(cause) ? errorWord(cause) : undefined;
}

function isAnswer(cause: unknown): cause is Error {
  return cause instanceof Error && cause.name === "ReplyError";
}

function errorWord({ message }: Error): string {
  // Before Redis 7 a script's error hid the code of the command that failed within it.
  const [, within] = /^ERR Error running script .*: -?([A-Z]+) /.exec(message) ?? [];
  return within ?? /^([A-Z]+)(?: |$)/.exec(message)?.[1] ?? "ERR";
}

function networkReason(cause: unknown): string {
  if (!(cause instanceof Error)) return "unknown";
  if ("code" in cause) return String(cause.code);
  return cause.name === "Error" ? "the connection is lost, or no answer came in time" : cause.name;
}
