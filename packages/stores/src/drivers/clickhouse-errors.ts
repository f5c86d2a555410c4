import type { ClickHouseError } from "@clickhouse/client";

import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

// Codes of ClickHouse that say something of the store; every other one is an answer to the statement
// (github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp). Who may log in and what an
// account may do is the operator's to mend, after which the same call succeeds: no record is at fault.
const CODES: Readonly<Record<StoreErrorCode, readonly number[]>> = {
  unavailable: [
    // Time, cancellation, network, replicas, Keeper, memory of the whole server, too much at once.
    159, 160, 198, 201, 202, 203, 209, 210, 225, 236, 241, 242, 252, 279, 285, 286, 289, 319, 335,
    364, 394, 415, 425, 439, 473, 517, 519, 524, 574, 594, 667, 697, 746, 999,
    // Accounts and grants: ACCESS_DENIED, authentication, users, quotas.
    192, 193, 194, 195, 497, 516, 724,
  ],
  full: [243],
  "read-only": [164],
  // UNKNOWN_TABLE and UNKNOWN_DATABASE: what was prepared is gone.
  corrupt: [33, 40, 60, 81, 228, 246, 271, 461, 499],
  unsupported: [1, 48, 115, 344],
  limit: [158, 167, 168, 191, 306, 307, 396],
  conflict: [],
  refused: [],
};

const CODE_OF: ReadonlyMap<number, StoreErrorCode> = new Map(
  Object.entries(CODES).flatMap(([code, numbers]) =>
    numbers.map((number) => [number, code as StoreErrorCode] as const),
  ),
);

// ECONNREFUSED and its kin are Node's; the client's own time-out has no code.
const MESSAGE_MAX = 300;

/** What ClickHouse answered, so that callers can tell an error of theirs from one of the store. */
export class ClickhouseRefusal extends StoreError {
  /** The number of ClickHouse's own table of errors. */
  readonly serverCode: number;
  /** ClickHouse's sentence, which may name parts of the statement: only for whoever wrote it. */
  readonly said: string;

  constructor(code: StoreErrorCode, message: string, cause: ClickHouseError) {
    super(code, message, { cause });
    this.serverCode = Number(cause.code);
    this.said = cause.message.slice(0, MESSAGE_MAX).trim();
  }
}

/** Maps what a call threw. Never repeats what the statement or its data said. */
export function mapClickhouseError(what: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  if (isServerError(cause)) {
    const code = CODE_OF.get(Number(cause.code)) ?? "refused";
    const name = cause.type ?? "error";
    return new ClickhouseRefusal(code, `${what}: ClickHouse says ${name} (${cause.code})`, cause);
  }
  return new StoreError("unavailable", `${what}: ClickHouse cannot be reached`, { cause });
}

const UNKNOWN_TABLE = 60;
const UNKNOWN_DATABASE = 81;

/** True where ClickHouse answers that a table or its database does not exist. */
export function isNotThere(cause: unknown): boolean {
  if (!(cause instanceof ClickhouseRefusal)) return false;
  return cause.serverCode === UNKNOWN_TABLE || cause.serverCode === UNKNOWN_DATABASE;
}

function isServerError(cause: unknown): cause is ClickHouseError {
  return (
    cause instanceof Error && "type" in cause && "code" in cause && /^\d+$/.test(String(cause.code))
  );
}
