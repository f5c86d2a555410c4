import { pathSteps } from "@custody/contract/field-path";
import type { PathStep } from "@custody/contract/field-path";
import { parseJson, stringifyJson } from "@custody/contract/json";

import { CoreError } from "../errors.ts";
import { aeadOpen, aeadSeal, NONCE_BYTES } from "../journal/format/aead.ts";
import { associatedData } from "../journal/format/associated-data.ts";

/** The record that sealed fields belong to; they open in no other. */
export interface RecordPlace {
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
}

/** A record's fields. */
export type Fields = Readonly<Record<string, unknown>>;

/** A record's fields in two parts. */
export interface SealedFields {
  /** The fields without the personal ones. */
  readonly fields: Fields;
  /** The personal ones, base64url; left out when the record has none of them. */
  readonly sealed?: string;
}

const VERSION = 1;

/**
 * Takes the personal fields out of a record and seals them with the subject's key.
 *
 * What is sealed is JSON text: an object from RFC 6901 pointer to value. A path goes through arrays
 * whether or not it says `[]`, so that nothing personal stays behind for a missing bracket; a last step
 * `names[]` takes the whole array.
 *
 * @param personal paths, or `"record"` for every field.
 * @param seal the subject's key, and 12 random bytes.
 */
export function sealFields(
  fields: Fields,
  personal: readonly string[] | "record",
  place: RecordPlace,
  seal: { readonly key: Uint8Array; readonly nonce: Uint8Array },
): SealedFields {
  const taken = new Map<string, unknown>();
  const left = personal === "record" ? takeAll(fields, taken) : takePaths(fields, personal, taken);
  if (taken.size === 0) return { fields };
  const text = Buffer.from(stringifyJson(Object.fromEntries(taken)));
  const sealed = aeadSeal({ ...seal, associated: placeBytes(place) }, text);
  const bytes = Buffer.concat([Uint8Array.of(VERSION), seal.nonce, sealed]);
  return { fields: left, sealed: bytes.toString("base64url") };
}

/**
 * Puts sealed fields back where they were taken from; members come back after those left in the clear.
 *
 * @throws CoreError `damaged` when they do not open: altered, of another record, or another key.
 */
export function openFields(
  fields: Fields,
  sealed: string,
  place: RecordPlace,
  key: Uint8Array,
): Fields {
  const bytes = Buffer.from(sealed, "base64url");
  const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
  const body = bytes.subarray(1 + NONCE_BYTES);
  const isWhole = bytes[0] === VERSION && nonce.byteLength === NONCE_BYTES;
  const text = isWhole ? aeadOpen({ key, nonce, associated: placeBytes(place) }, body) : undefined;
  if (text === undefined)
    throw new CoreError("damaged", "the sealed fields do not open", {
      at: `${place.type} ${place.id}`,
    });
  const taken = parseJson(text.toString("utf8"));
  if (!isObject(taken)) throw new CoreError("damaged", "the sealed fields are no JSON object");
  // A field taken after one within it holds that one's place, so it must be back first.
  const pointers = Object.keys(taken).sort((left, right) => left.length - right.length);
  return pointers.reduce<Fields>((whole, pointer) => put(whole, pointer, taken[pointer]), fields);
}

function placeBytes({ tenant, type, id }: RecordPlace): Uint8Array {
  return associatedData("custody sealed fields v1", tenant, type, id);
}

function takeAll(fields: Fields, taken: Map<string, unknown>): Fields {
  for (const [name, value] of Object.entries(fields)) taken.set(`/${escapeToken(name)}`, value);
  return {};
}

function takePaths(fields: Fields, paths: readonly string[], taken: Map<string, unknown>): Fields {
  let left = fields;
  for (const path of paths) left = takeMember(left, pathSteps(path), "", taken);
  return left;
}

function takeMember(
  object: Fields,
  [step, ...deeper]: readonly PathStep[],
  pointer: string,
  taken: Map<string, unknown>,
): Fields {
  if (step === undefined || !Object.hasOwn(object, step.name)) return object;
  const here = `${pointer}/${escapeToken(step.name)}`;
  const value = object[step.name];
  if (deeper.length > 0)
    return withMember(object, step.name, takeBelow(value, deeper, here, taken));
  taken.set(here, value);
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== step.name));
}

function takeBelow(
  value: unknown,
  steps: readonly PathStep[],
  pointer: string,
  taken: Map<string, unknown>,
): unknown {
  if (Array.isArray(value))
    return value.map((element, index) => takeBelow(element, steps, `${pointer}/${index}`, taken));
  return isObject(value) ? takeMember(value, steps, pointer, taken) : value;
}

function put(fields: Fields, pointer: string, value: unknown): Fields {
  const [first, ...deeper] = pointer.slice(1).split("/").map(unescapeToken);
  const whole = putBelow(fields, [first ?? "", ...deeper], value);
  if (isObject(whole)) return whole;
  throw new CoreError("damaged", "a sealed field has no place in its record");
}

function putBelow(
  container: unknown,
  [token, ...deeper]: readonly string[],
  value: unknown,
): unknown {
  if (token === undefined) return value;
  if (Array.isArray(container)) {
    const index = Number(token);
    if (!Object.hasOwn(container, token))
      throw new CoreError("damaged", "a sealed field lies beyond the end of an array");
    const elements: readonly unknown[] = container;
    return elements.with(index, putBelow(elements[index], deeper, value));
  }
  if (!isObject(container))
    throw new CoreError("damaged", "a sealed field has no place in its record");
  const below = Object.hasOwn(container, token) ? container[token] : undefined;
  return withMember(container, token, putBelow(below, deeper, value));
}

/** A copy with one member set, as an own member also when it is called `__proto__`. */
function withMember(object: Fields, name: string, value: unknown): Fields {
  const copy = { ...object };
  Object.defineProperty(copy, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
  return copy;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function escapeToken(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function unescapeToken(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}
