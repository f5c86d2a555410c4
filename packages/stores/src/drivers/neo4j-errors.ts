import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** The oldest version that has all we use: labels and edge types made of values (`CREATE (n:$(label))`). */
const VERSION_MIN = { major: 5, minor: 26 };

/**
 * Maps an error of the driver by its code, which the server gives. What has no code came from the
 * driver itself: no connection in time, a pool that is closed.
 */
export function mapNeo4jError(
  { doing, isSearch = false }: { readonly doing: string; readonly isSearch?: boolean },
  cause: unknown,
): unknown {
  if (!(cause instanceof Error) || cause.name !== "Neo4jError" || !("code" in cause)) return cause;
  const code = String(cause.code);
  // After the first line it repeats the statement, which may hold what is nobody's business.
  const [line = ""] = cause.message.split("\n", 1);
  const reason = line.replaceAll(OWN_WORDS, "").slice(0, 500);
  return new StoreError(
    storeCode(code, isSearch),
    `Neo4j could not ${doing}: ${reason} (${code})`,
    {
      cause,
    },
  );
}

/** Whether an error says that an index or constraint is there already, under this name or another. */
export function isSchemaThere(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && SCHEMA_THERE.has(String(cause.code));
}

/** Whether the server ended a transaction because it and another waited for each other. */
export function isDeadlock(cause: unknown): boolean {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code === "Neo.TransientError.Transaction.DeadlockDetected";
}

/**
 * Checks what a server calls itself: `Neo4j/5.26.30`.
 *
 * @throws StoreError `unsupported` when it is too old, or no Neo4j.
 */
export function checkNeo4jVersion(agent: string): string {
  const [, version, major, minor] = /^Neo4j\/((\d+)\.(\d+)[^ ]*)/.exec(agent) ?? [];
  const { major: majorMin, minor: minorMin } = VERSION_MIN;
  const needed = `Custody needs Neo4j ${majorMin}.${minorMin} or newer`;
  if (version === undefined) {
    throw new StoreError("unsupported", `the server calls itself ${agent.slice(0, 80)}; ${needed}`);
  }
  const isEnough =
    Number(major) > majorMin || (Number(major) === majorMin && Number(minor) >= minorMin);
  if (isEnough) return version;
  throw new StoreError("unsupported", `Neo4j ${version} is too old; ${needed}`);
}

// The label that statements are confined by, and places in what was made of the user's statement.
const OWN_WORDS = /:?custody_[0-9a-f]{32}&?|\s*\(line \d+, column \d+ \(offset: \d+\)\)/g;

const SCHEMA_THERE = new Set([
  "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
  "Neo.ClientError.Schema.ConstraintAlreadyExists",
  "Neo.ClientError.Schema.ConstraintWithNameAlreadyExists",
  "Neo.ClientError.Schema.IndexAlreadyExists",
]);

const TIMED_OUT = new Set([
  "Neo.ClientError.Transaction.TransactionTimedOut",
  "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
]);

function storeCode(code: string, isSearch: boolean): StoreErrorCode {
  if (TIMED_OUT.has(code)) return isSearch ? "limit" : "unavailable";
  const known = CODES[code];
  if (known !== undefined) return known;
  const [, kind, category] = /^Neo\.(\w+)\.(\w+)\./.exec(code) ?? [];
  if (kind === "TransientError" || kind === "DatabaseError" || kind === undefined) {
    return "unavailable";
  }
  return CATEGORIES[category ?? ""] ?? "refused";
}

// neo4j.com/docs/status-codes/5/errors/all-errors
const CODES: Readonly<Record<string, StoreErrorCode>> = {
  "Neo.ClientError.Cluster.NotALeader": "unavailable",
  "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase": "read-only",
  "Neo.ClientError.General.WriteOnReadOnlyAccessDatabase": "read-only",
  "Neo.ClientError.General.TransactionOutOfMemoryError": "limit",
  "Neo.ClientError.Schema.ConstraintValidationFailed": "conflict",
  "Neo.ClientError.Statement.AccessMode": "refused",
  "Neo.DatabaseError.General.IndexCorruptionDetected": "corrupt",
  "Neo.DatabaseError.General.SchemaCorruptionDetected": "corrupt",
  "Neo.DatabaseError.General.StorageDamageDetected": "corrupt",
  "Neo.DatabaseError.Statement.CodeGenerationFailed": "refused",
  "Neo.DatabaseError.Statement.ExecutionFailed": "refused",
  "Neo.TransientError.General.MemoryPoolOutOfMemoryError": "limit",
  "Neo.TransientError.General.OutOfMemoryError": "limit",
  "Neo.TransientError.General.StackOverFlowError": "limit",
  "Neo.TransientError.General.TransactionMemoryLimit": "limit",
  "Neo.TransientError.Transaction.MaximumTransactionLimitReached": "unavailable",
};

const CATEGORIES: Readonly<Record<string, StoreErrorCode>> = {
  // Nobody is let in, or finds the database, until an operator has mended it.
  Security: "unavailable",
  Database: "unavailable",
  Cluster: "unavailable",
  // The transaction was ended by the server: a connection that it lost, an operator.
  Transaction: "unavailable",
  Request: "unavailable",
  Routing: "unavailable",
};
