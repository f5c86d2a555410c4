import type { RecordType } from "@custody/contract/record-type";
import { canonicalJson, parseJson } from "@custody/contract/json";

import { contentHashes } from "../keys/keyed-hash.ts";
import { joinTexts } from "./entry-records.ts";

/** JSON texts of records' fields: text `i` is `offsets[i]` to `offsets[i + 1]`. */
export interface FieldTexts {
  readonly text: Uint8Array;
  readonly offsets: Uint32Array;
}

/**
 * What stands in the id index for a record whose person was erased, where the index is built anew: its
 * content cannot be known any more. Whatever comes again under its id is taken for the same record.
 */
export const ERASED_CONTENT: Uint8Array = new Uint8Array(16).fill(0xff);

/**
 * Keyed hashes of records as the id index keeps them, 16 bytes each: by these a repeated record is recognised.
 *
 * Of a type with personal fields the canonical form is hashed: sealing takes members out of a record and
 * opening puts them back behind the others, and a restore must come to the same hash.
 */
export function recordHashes(
  type: Pick<RecordType, "personal"> | undefined,
  hashKey: Uint8Array,
  texts: FieldTexts,
): Uint8Array {
  if (type?.personal === undefined) return contentHashes(hashKey, texts);
  const { text, offsets } = texts;
  const canonical = Array.from({ length: offsets.length - 1 }, (_, index) => {
    const part = text.subarray(offsets[index], offsets[index + 1]);
    return canonicalJson(parseJson(Buffer.from(part).toString("utf8")));
  });
  return contentHashes(hashKey, joinTexts(canonical));
}
