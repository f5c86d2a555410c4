import { hash } from "node:crypto";

import { checkRecordId, uuidV7 } from "@custody/contract/ids";
import { canonicalJson, stringifyJson } from "@custody/contract/json";

import { CoreError } from "../errors.ts";
import { OWNER_LENGTH_MAX } from "../projection/owner-scope.ts";
import type { Runtime } from "../runtime.ts";
import type { CompiledType } from "./compiled-type.ts";

/** A record that keeps to its type, ready to become a line. */
export interface PreparedRecord {
  readonly id: string;
  readonly fields: Record<string, unknown>;
  /** JSON text of the fields. */
  readonly text: string;
  /** Epoch milliseconds. */
  readonly observedAt: number | undefined;
}

export interface PrepareContext {
  readonly runtime: Runtime;
  /** Keyed hash of text under the tenant's key, hex; for ids made of personal data. */
  readonly keyedHash: (text: string) => string;
}

/**
 * Checks a record against its type and gives it its id.
 *
 * The fields are the input's own, not what the schema's parser gives back: a parser leaves out members
 * that it does not know, and one named `__proto__` wherever it copies an object.
 *
 * @throws CoreError `invalid` naming the field and the reason.
 */
export function prepareRecord(
  type: CompiledType,
  input: unknown,
  context: PrepareContext,
): PreparedRecord {
  const parsed = type.declaration.schema.safeParse(input);
  if (!parsed.success) throw invalid(type, input, parsed.error.issues);
  // The schema is that of an object, so what it takes is one.
  const fields = input as Record<string, unknown>;
  if (type.ownerOf !== undefined && type.ownerOf(fields) === undefined) {
    const { owner = "" } = type.declaration;
    const message = `must name an owner: text of 1 to ${OWNER_LENGTH_MAX} characters without NUL`;
    throw invalid(type, input, [{ path: [owner], message }]);
  }
  const text = stringifyJson(fields);
  const observedAt = type.observedAt(fields);
  return { id: recordId(type, fields, { text, observedAt, context }), fields, text, observedAt };
}

interface IdParts {
  readonly text: string;
  readonly observedAt: number | undefined;
  readonly context: PrepareContext;
}

function recordId(type: CompiledType, fields: Record<string, unknown>, parts: IdParts): string {
  const { id: rule } = type.declaration;
  const { text, observedAt, context } = parts;
  const { runtime } = context;
  if ("generated" in rule) return uuidV7(runtime.clock(), runtime.random(10));
  if ("content" in rule) return `${day(observedAt ?? 0)}-${base32(hash("sha256", text, "buffer"))}`;
  const values = type.idValues?.(fields) ?? [];
  if ("key" in rule || type.hasPersonalId) {
    const key = canonicalJson(values);
    return type.hasPersonalId ? context.keyedHash(key) : base32(hash("sha256", key, "buffer"));
  }
  const [value] = values;
  if (typeof value !== "string") {
    throw new CoreError(
      "invalid",
      `a record of ${type.name} has no text in its id field ${rule.field}`,
    );
  }
  return checkRecordId(value);
}

function day(observedAt: number): string {
  return new Date(observedAt).toISOString().slice(0, 10).replaceAll("-", "");
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** 130 bits in 26 lower-case letters and digits (RFC 4648 §6 alphabet): enough never to collide. */
function base32(bytes: Uint8Array): string {
  let text = "";
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5 && text.length < 26) {
      bits -= 5;
      text += ALPHABET[(value >> bits) & 31] ?? "";
    }
  }
  return text;
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

function invalid(type: CompiledType, input: unknown, issues: readonly Issue[]): CoreError {
  const [first] = issues;
  const path = first === undefined || first.path.length === 0 ? "the record" : first.path.join(".");
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  const id =
    typeof input === "object" && input !== null && "id" in input
      ? ` ${String(input.id).slice(0, 80)}`
      : "";
  return new CoreError(
    "invalid",
    `${type.name}${id}: ${path}: ${first?.message ?? "invalid"}${more}`,
    {
      at: `${type.name} ${path}`,
    },
  );
}
