import type { MongoServerError } from "mongodb";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/**
 * MongoDB's error codes that mean something else than "refused" to a caller
 * (github.com/mongodb/mongo, src/mongo/base/error_codes.yml).
 */
const CODES: Readonly<Record<number, StoreErrorCode>> = {
  6: "unavailable", // HostUnreachable
  7: "unavailable", // HostNotFound
  24: "unavailable", // LockTimeout
  50: "unavailable", // MaxTimeMSExpired
  89: "unavailable", // NetworkTimeout
  91: "unavailable", // ShutdownInProgress
  112: "unavailable", // WriteConflict
  134: "unavailable", // ReadConcernMajorityNotAvailableYet
  189: "unavailable", // PrimarySteppedDown
  262: "unavailable", // ExceededTimeLimit
  9001: "unavailable", // SocketException
  10107: "unavailable", // NotWritablePrimary
  11600: "unavailable", // InterruptedAtShutdown
  11602: "unavailable", // InterruptedDueToReplStateChange
  13435: "unavailable", // NotPrimaryNoSecondaryOk
  13436: "unavailable", // NotPrimaryOrSecondary
  14031: "full", // OutOfDiskSpace
  10334: "limit", // BSONObjectTooLarge
  17280: "limit", // KeyTooLong
  17419: "limit", // resulting document too large
  146: "limit", // ExceededMemoryLimit
  292: "limit", // QueryExceededMemoryLimitNoDiskUseAllowed
  11000: "conflict", // DuplicateKey
};

// These are no server's answers: the client did not get one.
const UNREACHED: ReadonlySet<string> = new Set([
  "MongoNetworkError",
  "MongoNetworkTimeoutError",
  "MongoServerSelectionError",
  "MongoOperationTimeoutError",
  "MongoWaitQueueTimeoutError",
  "MongoPoolClearedError",
  "MongoPoolClosedError",
  "MongoNotConnectedError",
  "MongoTopologyClosedError",
  "MongoExpiredSessionError",
  "PoolClearedOnNetworkError",
  "MongoClientClosedError",
]);

const SOCKET_CODES: ReadonlySet<string> = new Set(["EPIPE", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

/** Makes a driver's error a typed one; what is a StoreError already, or a fault of ours, stays. */
export function mapMongoError(doing: string, cause: unknown): unknown {
  if (cause instanceof StoreError || !(cause instanceof Error)) return cause;
  if (UNREACHED.has(cause.name)) {
    return new StoreError("unavailable", `${doing}: MongoDB cannot be reached`, { cause });
  }
  // A socket's own errors come through where a connection breaks while it is written to.
  if ("syscall" in cause || ("code" in cause && SOCKET_CODES.has(String(cause.code)))) {
    return new StoreError("unavailable", `${doing}: the connection to MongoDB broke`, { cause });
  }
  if (cause.name === "MongoCompatibilityError") {
    return new StoreError("unsupported", `${doing}: this MongoDB is too old or another product`, {
      cause,
    });
  }
  if (!isServerError(cause))
    return cause.name.startsWith("Mongo") || cause.name.startsWith("BSON")
      ? refused(doing, cause)
      : cause;
  const code = codeOf(cause);
  const mapped = CODES[code];
  if (mapped === undefined) return refused(doing, cause);
  return new StoreError(mapped, `${doing}: MongoDB answered ${code}, ${cause.message}`, { cause });
}

function refused(doing: string, cause: Error): StoreError {
  return new StoreError("refused", `${doing}: ${cause.message}`, { cause });
}

/** The error of a bulk write is that of its first refused part. */
function codeOf(cause: MongoServerError): number {
  return typeof cause.code === "number" ? cause.code : 0;
}

function isServerError(cause: Error): cause is MongoServerError {
  return (
    "code" in cause &&
    (cause.name === "MongoServerError" ||
      cause.name === "MongoBulkWriteError" ||
      cause.name === "MongoWriteConcernError")
  );
}
