import { compilePath } from "@custody/contract/field-path";
import type { FoundRecord } from "@custody/core/custody";

/**
 * A record as `--json` prints it: its own fields at the top, beside `_type`, `_id` and `_version`.
 *
 * Should a record have a field of such a name, the field is printed: evidence is never covered up.
 */
export function recordJson(
  { type, id, version, fields }: FoundRecord,
  only?: readonly string[],
): Readonly<Record<string, unknown>> {
  const shown = only === undefined ? fields : pick(fields, only);
  return { _type: type, _id: id, _version: version, ...shown };
}

function pick(
  fields: Readonly<Record<string, unknown>>,
  paths: readonly string[],
): Readonly<Record<string, unknown>> {
  const picked: [string, unknown][] = [];
  for (const path of paths) {
    const values = compilePath(path)(fields);
    if (values.length > 0) picked.push([path, path.includes("[]") ? values : values[0]]);
  }
  return Object.fromEntries(picked);
}
