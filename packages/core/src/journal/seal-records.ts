import { compilePath } from "@custody/contract/field-path";
import { parseJson, stringifyJson } from "@custody/contract/json";
import { asText } from "@custody/contract/value-expression";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { KeyService } from "../keys/key-service.ts";
import { keyedHash } from "../keys/keyed-hash.ts";
import { openFields, sealFields } from "../keys/seal-fields.ts";
import type { Fields } from "../keys/seal-fields.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import type { Runtime } from "../runtime.ts";
import type { DraftLine } from "./draft-entry.ts";
import { NONCE_BYTES } from "./format/aead.ts";
import type { DecodedLine } from "./format/line.ts";
import type { HashedRecord } from "./sort-records.ts";

/**
 * Opens the sealed fields of a line: the JSON text of all fields, or of those left in the clear when
 * the subject's key was destroyed.
 */
export type FieldOpener = (scope: Scope, type: string, line: DecodedLine) => Promise<Uint8Array>;

/** Seals the personal fields of records with their subjects' keys; types without any pass through. */
export type FieldSealer = (
  scope: Scope,
  type: CompiledType,
  records: readonly HashedRecord[],
) => Promise<readonly DraftLine[]>;

/** Makes the sealer of an installation. */
export function fieldSealer(keys: KeyService, runtime: Runtime): FieldSealer {
  return async (scope, type, records) => {
    const { personal } = type.declaration;
    if (personal === undefined) return records.map(plainLine);
    const subjectOf = compilePath(personal.subject);
    const hashKey = await keys.hashKey(scope.tenant);
    const subjects = records.map(({ fields, id }) => subjectName(subjectOf(fields)[0], id));
    const names = subjects.map((subject) => pseudonym(hashKey, subject));
    const known = await keys.subjectKeys(scope.tenant, names, { create: true });
    return records.map((record, index) => {
      const key = known[index];
      if (key === undefined) {
        throw new CoreError(
          "conflict",
          `${type.name} ${record.id} is about a person whose data was erased`,
        );
      }
      const place = { tenant: scope.tenant, type: type.name, id: record.id };
      const seal = { key, nonce: runtime.random(NONCE_BYTES) };
      const { fields, sealed } = sealFields(record.fields, personal.fields, place, seal);
      if (sealed === undefined) return plainLine(record);
      const text = Buffer.from(stringifyJson(fields));
      const subject = names[index] ?? "";
      return { ...plainLine(record), text, openText: record.bytes, subject, sealed };
    });
  };
}

/** Makes the opener of an installation. */
export function fieldOpener(keys: KeyService): FieldOpener {
  return async (scope, type, { id, data, subject, sealed }) => {
    const clear = data ?? Buffer.from("{}");
    if (sealed === undefined || subject === undefined) return clear;
    const [key] = await keys.subjectKeys(scope.tenant, [subject]);
    if (key === undefined) return clear;
    const fields = parseJson(Buffer.from(clear).toString("utf8")) as Fields;
    const opened = openFields(fields, sealed, { tenant: scope.tenant, type, id }, key);
    return Buffer.from(stringifyJson(opened));
  };
}

/** The name under which a subject's key is kept and found: it tells nobody who it is. */
function pseudonym(hashKey: Uint8Array, subject: string): string {
  return Buffer.from(keyedHash(hashKey, "subject", subject)).toString("hex");
}

/** A record that names nobody is its own subject, so that it can still be erased. */
function subjectName(value: unknown, id: string): string {
  return value === undefined ? `record ${id}` : asText(value);
}

function plainLine({ id, bytes, observedAt, place, contentHash }: HashedRecord): DraftLine {
  return {
    id,
    text: bytes,
    contentHash,
    ...(observedAt === undefined ? {} : { observedAt }),
    ...(place === undefined ? {} : { place }),
  };
}
