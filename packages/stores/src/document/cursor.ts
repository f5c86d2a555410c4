import { createHash } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { DocumentQuery } from "./port.ts";

/** A sort key as an engine gives it. */
export type SortKey = null | string | number | bigint | Uint8Array;

/** The last row of a page: the next page begins behind it. */
export interface Position {
  readonly keys: readonly SortKey[];
  readonly id: string;
}

/** Writes a position as an opaque text that only the same query takes back. */
export function writeCursor(query: string, { keys, id }: Position): string {
  const text = JSON.stringify([query, id, ...keys.map(writeKey)]);
  return Buffer.from(text).toString("base64url");
}

/** Reads a cursor. @throws StoreError `refused` when it is malformed or of another query. */
export function readCursor(query: string, cursor: string, keyCount: number): Position {
  const parts = parseCursor(cursor);
  const [owner, id, ...keys] = parts;
  if (parts.length !== keyCount + 2 || owner !== query || id === undefined) {
    throw new StoreError("refused", "the cursor belongs to another query");
  }
  return { id, keys: keys.map(readKey) };
}

/** What a cursor belongs to: collection, filter and sort, but not the page's size. */
export function queryMark(
  collection: Collection<DocumentPlacement>,
  { filter, sort = [] }: DocumentQuery,
): string {
  const { name, generation } = collection;
  return createHash("sha256")
    .update(canonicalJson({ name, generation, filter, sort }))
    .digest("base64url")
    .slice(0, 16);
}

function parseCursor(cursor: string): readonly string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (Array.isArray(parts) && parts.every((part) => typeof part === "string")) return parts;
  } catch {
    // Falls through: what is no JSON is no cursor.
  }
  throw new StoreError("refused", "not a cursor");
}

// Kinds are told apart by the first letter, so that no number is rounded on the way.
function writeKey(key: SortKey): string {
  if (key === null) return "n";
  if (typeof key === "string") return `t${key}`;
  if (typeof key === "bigint") return `i${key}`;
  if (typeof key === "number") return `r${key}`;
  return `b${Buffer.from(key).toString("hex")}`;
}

function readKey(text: string): SortKey {
  const rest = text.slice(1);
  switch (text.slice(0, 1)) {
    case "n":
      return null;
    case "t":
      return rest;
    case "r":
      return Number(rest);
    case "b":
      return Uint8Array.from(Buffer.from(rest, "hex"));
    case "i":
      if (/^-?\d{1,19}$/.test(rest)) return BigInt(rest);
  }
  throw new StoreError("refused", "not a cursor");
}
