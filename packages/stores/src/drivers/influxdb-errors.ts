import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";

/** What the client library throws for an answer that is an error. */
interface HttpFailure extends Error {
  readonly statusCode: number;
  readonly body?: string | undefined;
}

/**
 * Maps what a call to InfluxDB threw, by its HTTP status
 * (docs.influxdata.com/influxdb/v2/api, "Response codes"); what has none came from the network.
 */
export function mapInfluxdbError(doing: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  if (!isHttpFailure(cause)) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new StoreError("unavailable", `InfluxDB could not ${doing}: ${reason}`, { cause });
  }
  const reason = reasonOf(cause.body ?? "");
  return new StoreError(
    storeCode(cause.statusCode, reason),
    `InfluxDB could not ${doing}: ${reason} (HTTP ${cause.statusCode})`,
    { cause },
  );
}

function isHttpFailure(cause: unknown): cause is HttpFailure {
  return cause instanceof Error && "statusCode" in cause && typeof cause.statusCode === "number";
}

function storeCode(status: number, reason: string): StoreErrorCode {
  // Version 1.8 and the storage of both answer 500 or 400 for these, and have no code beside the text.
  if (/no space left|disk quota/i.test(reason)) return "full";
  if (/max-(?:series|values)-per|limit exceeded/i.test(reason)) return "limit";
  return CODES[status] ?? (status >= 500 ? "unavailable" : "refused");
}

const CODES: Readonly<Record<number, StoreErrorCode>> = {
  // Nobody is let in until it is mended.
  401: "unavailable",
  403: "read-only",
  408: "unavailable",
  413: "limit",
  429: "unavailable",
  507: "full",
};

const REASON_MAX = 300;

/** The message alone: answers quote points, which hold what people wrote. */
function reasonOf(body: string): string {
  const text = messageOf(body)
    .replaceAll(/'[^']*'|"[^"]*"/g, "…")
    .replaceAll(/\s+/g, " ")
    .trim();
  return text === "" ? "no reason was given" : text.slice(0, REASON_MAX);
}

function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== "object" || parsed === null) return "";
    if ("message" in parsed && typeof parsed.message === "string") return parsed.message;
    return "error" in parsed && typeof parsed.error === "string" ? parsed.error : "";
  } catch {
    return body;
  }
}
