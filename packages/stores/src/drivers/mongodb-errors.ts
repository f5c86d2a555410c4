import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** The oldest MongoDB whose `$nor`, `$min`, bulk upserts and limits the adapter was written for. */
export const MAJOR_MIN = 5;
/** The same as words. */
export const NEEDED: string = `Custody needs MongoDB ${MAJOR_MIN}.0 or newer`;

/** The row is there: inserted by another, or by an upsert whose condition its stored version does not meet. */
export const DUPLICATE_KEY = 11_000;

/** The codes of a server's errors by what they mean (github.com/mongodb/mongo, src/mongo/base/error_codes.yml). */
const MEANINGS: Readonly<Partial<Record<StoreErrorCode, readonly number[]>>> = {
  // The record or the query is at fault: bad values, parse errors, wrong types, depth, BSON, names, a validator.
  refused: [
    2, 9, 14, 15, 16, 22, 28, 40, 52, 53, 54, 56, 57, 66, 67, 72, 73, 85, 86, 121, 171, 197, 201,
  ],
  // Too large: a document or a key. ExceededMemoryLimit, QueryExceededMemoryLimitNoDiskUseAllowed.
  limit: [146, 257, 292, 10_334, 17_280, 17_419, 17_420],
  conflict: [DUPLICATE_KEY, 11_001],
  full: [14_031],
  corrupt: [301],
  // IllegalOperation, CommandNotFound, CommandNotSupported, NotAReplicaSet, NotImplemented.
  unsupported: [20, 59, 115, 123, 238],
  unavailable: [
    9_001, // SocketException
    10_058,
    10_107,
    13_435,
    13_436, // not the primary
    11_600,
    11_601,
    11_602, // interrupted: shutdown, killed, a change of the primary
    12_586,
    12_587, // an operation in the background is in the way
    13_388, // StaleConfig: rows have moved to another shard
  ],
};

const CODES: ReadonlyMap<number, StoreErrorCode> = new Map(
  Object.entries(MEANINGS).flatMap(([meaning, codes]) =>
    codes.map((code) => [code, meaning as StoreErrorCode] as const),
  ),
);

// Codes from here on belong to one place in the server's source each, mostly one that checks a request.
const LOCATION_MIN = 10_000;

// What the server or the driver says may be repeated, whatever the code.
const REPEATABLE = ["RetryableWriteError", "SystemOverloadedError", "TransientTransactionError"];

// Errors of the client itself about what it was given.
const GIVEN: ReadonlySet<string> = new Set([
  "MongoAPIError",
  "MongoInvalidArgumentError",
  "MongoMissingCredentialsError",
  "MongoParseError",
]);

const UNSUPPORTED: Readonly<Record<string, string>> = {
  MongoCompatibilityError: `this server is too old, or another product; ${NEEDED}`,
  MongoMissingDependencyError: "a library that this way of connecting needs is not installed",
};

const SOCKET_CODES: ReadonlySet<string> = new Set(["EPIPE", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

/** Makes a driver's error a typed one; what is a StoreError already, or a fault of ours, stays. */
export function mapMongoError(doing: string, cause: unknown): unknown {
  if (cause instanceof StoreError || !(cause instanceof Error)) return cause;
  const { name } = cause;
  // A socket's own errors come through where a connection breaks while it is written to.
  if ("syscall" in cause || ("code" in cause && SOCKET_CODES.has(String(cause.code)))) {
    return new StoreError("unavailable", `${doing}: the connection to MongoDB broke`, { cause });
  }
  const lacking = UNSUPPORTED[name];
  if (lacking !== undefined) {
    return new StoreError("unsupported", `${doing}: ${lacking}`, { cause });
  }
  if (isServerError(cause)) return serverError(doing, cause);
  if (GIVEN.has(name) || name.startsWith("BSON")) {
    return new StoreError("refused", `${doing}: ${cause.message}`, { cause });
  }
  if (!name.startsWith("Mongo") && name !== "PoolClearedOnNetworkError") return cause;
  // No connection, no answer, or none in time.
  return new StoreError("unavailable", `${doing}: MongoDB cannot be reached`, { cause });
}

const NAMESPACE_NOT_FOUND = 26;
const COMMAND_NOT_FOUND = 59;

/** Whether an error says that there is no such collection. */
export function isNamespaceNotFound(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  // mongo-java-server gives no code.
  return "code" in cause && cause.code !== undefined
    ? cause.code === NAMESPACE_NOT_FOUND
    : cause.message === "ns not found";
}

/** Whether an error says that the server does not know a command. */
export function isCommandNotFound(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === COMMAND_NOT_FOUND;
}

/** Whether an error says that there is a document of that `_id`. */
export function isDuplicateKey(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === DUPLICATE_KEY;
}

/** What a server answered in place of a result. */
export interface MongoAnswer {
  readonly code?: number | string | undefined;
  readonly codeName?: string;
  readonly errorLabels?: readonly string[];
}

/** The typed error of a server's answer. Its text is left out, as it may repeat what a record holds. */
export function serverError(doing: string, answer: MongoAnswer): StoreError {
  const { code = 0, codeName } = answer;
  const name = codeName === undefined ? "" : ` ${codeName}`;
  return new StoreError(meaningOf(answer), `${doing}: MongoDB answered${name} (${code})`, {
    cause: answer,
  });
}

function meaningOf({ code, errorLabels = [] }: MongoAnswer): StoreErrorCode {
  const number = Number(code ?? 0);
  const known = CODES.get(number);
  if (known !== undefined) return known;
  if (REPEATABLE.some((label) => errorLabels.includes(label))) return "unavailable";
  // Of what is not known nothing says that a record is at fault, which would be put aside for it: no right to
  // write, no majority, a step-down, a time limit.
  return number >= LOCATION_MIN ? "refused" : "unavailable";
}

function isServerError(cause: Error): cause is Error & MongoAnswer {
  return (
    cause.name === "MongoServerError" ||
    cause.name === "MongoBulkWriteError" ||
    cause.name === "MongoWriteConcernError"
  );
}
