import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** What a PostgreSQL server says of an error (postgresql.org/docs/current/protocol-error-fields.html). */
export interface PgServerError extends Error {
  /** SQLSTATE. */
  readonly code: string;
  readonly severity: string;
  readonly constraint?: string;
  /** The server's own function; `RevalidateCachedQuery` for a plan whose table has changed. */
  readonly routine?: string;
}

/** Whether an error was sent by the server, rather than made by the client or the network. */
export function isServerError(cause: unknown): cause is PgServerError {
  return (
    cause instanceof Error &&
    "severity" in cause &&
    "code" in cause &&
    typeof cause.code === "string" &&
    /^[0-9A-Z]{5}$/.test(cause.code)
  );
}

/**
 * Maps an error of a call by its SQLSTATE; what has none came from the network or ended with the
 * connection. What is a StoreError already stays.
 */
export function mapPostgresqlError(doing: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  if (!isServerError(cause)) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new StoreError("unavailable", `PostgreSQL could not ${doing}: ${reason}`, { cause });
  }
  // Errors of data repeat the data in their message.
  const reason = cause.code.startsWith("22") ? "the value is out of bounds" : cause.message;
  return new StoreError(
    storeCode(cause),
    `PostgreSQL could not ${doing}: ${reason} (SQLSTATE ${cause.code})`,
    { cause },
  );
}

/** True when a connection is to be given up after this error. */
export function isConnectionUseless(cause: unknown): boolean {
  if (!isServerError(cause)) return true;
  const { code, severity } = cause;
  // FATAL and PANIC end the session; a host that became read-only is left for the one that took over.
  return severity === "FATAL" || severity === "PANIC" || code.startsWith("08") || code === "25006";
}

function storeCode({ code, routine }: PgServerError): StoreErrorCode {
  // A prepared plan whose table has changed: prepared anew when the call is repeated.
  if (code === "0A000" && routine === "RevalidateCachedQuery") return "unavailable";
  return CODES[code] ?? CLASSES[code.slice(0, 2)] ?? "refused";
}

// postgresql.org/docs/current/errcodes-appendix.html
const CODES: Readonly<Record<string, StoreErrorCode>> = {
  "23502": "refused", // not_null_violation
  "23514": "refused", // check_violation
  "25006": "read-only", // read_only_sql_transaction: a standby, or the disk is being saved
  "25P02": "unavailable", // in_failed_sql_transaction: an earlier call of it failed
  "25P03": "unavailable", // idle_in_transaction_session_timeout
  "25P04": "unavailable", // transaction_timeout
  "26000": "unavailable", // invalid_sql_statement_name: a pooler gave another session
  "42501": "read-only", // insufficient_privilege
  "42P01": "corrupt", // undefined_table: what the migrations made is gone
  "42703": "corrupt", // undefined_column
  "42P05": "unavailable", // duplicate_prepared_statement: a pooler gave another session
  "3F000": "corrupt", // invalid_schema_name
  "53100": "full", // disk_full
  "55006": "unavailable", // object_in_use
  "55P03": "unavailable", // lock_not_available
  "57014": "unavailable", // query_canceled: statement_timeout
  "58P01": "corrupt", // undefined_file
  XX001: "corrupt", // data_corrupted
  XX002: "corrupt", // index_corrupted
};

const CLASSES: Readonly<Record<string, StoreErrorCode>> = {
  "08": "unavailable", // connection exceptions
  "0A": "unsupported", // feature not supported
  "22": "refused", // data exceptions
  "23": "conflict", // integrity constraint violations
  "28": "unavailable", // invalid authorisation: nobody is let in until it is mended
  "3D": "unavailable", // the database does not exist
  "40": "unavailable", // transaction rollback: serialisation, deadlock
  "53": "unavailable", // insufficient resources: connections, memory
  "54": "limit", // program limits: statement too complex, too many columns
  "57": "unavailable", // operator intervention: shutdown, starting up
  "58": "unavailable", // system errors: input and output
  F0: "unavailable", // the server's configuration file
  XX: "unavailable", // internal errors
};
