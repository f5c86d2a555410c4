import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** What the server says went wrong: its HTTP status and the name of its error. */
export interface OpensearchFault {
  readonly status: number;
  /** `mapper_parsing_exception`; empty where the answer names none. */
  readonly type: string;
  /** For people; may repeat what was sent, so it is shown for some types only. */
  readonly reason: string;
  /** Types of what caused it, the outermost first. */
  readonly causes: readonly string[];
}

// The names are the classes' of org.opensearch.* in snake case (OpenSearchException.getExceptionName).
const TYPES: Readonly<Record<string, StoreErrorCode>> = {
  index_not_found_exception: "refused",
  version_conflict_engine_exception: "conflict",
  // An index that cannot be opened: a file is damaged, or has an end it should not have.
  corrupt_index_exception: "corrupt",
  index_format_too_old_exception: "corrupt",
  index_format_too_new_exception: "corrupt",
  translog_corrupted_exception: "corrupt",
  // More shards than the cluster allows; an operator can mend it without any change by the caller.
  validation_exception: "unavailable",
  process_cluster_event_timeout_exception: "unavailable",
  no_shard_available_action_exception: "unavailable",
  circuit_breaking_exception: "unavailable",
  task_cancelled_exception: "unavailable",
  index_closed_exception: "unavailable",
  too_many_clauses: "limit",
  too_many_nested_clauses: "limit",
};

const STATUSES: Readonly<Record<number, StoreErrorCode>> = {
  // Nobody is let in until it is mended; it is no fault of the records.
  401: "unavailable",
  403: "unavailable",
  404: "unavailable",
  408: "unavailable",
  409: "conflict",
  413: "limit",
  429: "unavailable",
};

// Reasons that name limits and never what was sent.
const SHOWN = new Set(["validation_exception", "circuit_breaking_exception"]);

/** Reads the error of an answer, or of one item of a bulk answer. */
export function readFault(status: number, error: unknown): OpensearchFault {
  const causes = [...causesOf(error)];
  return { status, type: textOf(error, "type"), reason: textOf(error, "reason"), causes };
}

/** Maps what the server says to a store's error; `doing` is what was tried: `search`. */
export function mapFault(doing: string, fault: OpensearchFault): StoreError {
  const { status, type, reason } = fault;
  const named = type === "" ? `status ${status}` : `${type}, status ${status}`;
  const shown = SHOWN.has(type) ? `: ${reason}` : "";
  const denied = status === 401 || type === "security_exception" ? ": it denies access" : "";
  return new StoreError(
    storeCode(fault),
    `the search server could not ${doing}${denied} (${named})${shown}`,
  );
}

/** True for a server that has too much to do just now. */
export function isOverload({ status, type }: OpensearchFault): boolean {
  return status === 429 && type !== "cluster_block_exception";
}

/** True for an index or a cluster that takes no writes, for whatever reason. */
export function isBlocked({ type, causes }: OpensearchFault): boolean {
  return type === "cluster_block_exception" || causes.includes("cluster_block_exception");
}

function storeCode({ status, type, causes }: OpensearchFault): StoreErrorCode {
  // The cause says more than what it was wrapped in: a failed phase of a search, a remote node.
  for (const name of [...causes.toReversed(), type]) {
    const code = TYPES[name];
    if (code !== undefined) return code;
  }
  return STATUSES[status] ?? (status >= 500 ? "unavailable" : "refused");
}

/** The types of an error's root causes and of its chain of causes. */
function* causesOf(error: unknown): Generator<string> {
  const roots = memberOf(error, "root_cause");
  if (Array.isArray(roots)) for (const root of roots) yield textOf(root, "type");
  const failed = memberOf(error, "failed_shards");
  if (Array.isArray(failed)) {
    for (const shard of failed) yield* chainOf(memberOf(shard, "reason"));
  }
  yield* chainOf(memberOf(error, "caused_by"));
}

const CHAIN_MAX = 10;

function* chainOf(error: unknown): Generator<string> {
  let cause = error;
  for (let depth = 0; cause !== undefined && depth < CHAIN_MAX; depth += 1) {
    yield textOf(cause, "type");
    cause = memberOf(cause, "caused_by");
  }
}

function textOf(value: unknown, name: string): string {
  const text = memberOf(value, name);
  return typeof text === "string" ? text : "";
}

/** A member of what may be an object. */
export function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? Object.getOwnPropertyDescriptor(value, name)?.value
    : undefined;
}
