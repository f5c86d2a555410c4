import { ImportError } from "@custody/contract/importer";
import type { ImportContext, Importer, ImportRow, JsonFragment } from "@custody/contract/importer";
import { canonicalJson } from "@custody/contract/json";

import { asFields, lastToken, setMember } from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import { isStixObject, stixRecord } from "./stix-objects.ts";

const BUNDLE = /"type"\s*:\s*"bundle"|"id"\s*:\s*"bundle--/;
const OBJECT = /"id"\s*:\s*"[a-z0-9-]+--[0-9a-f]{8}-[0-9a-f]{4}-/;
const OBJECTS = /"objects"\s*:\s*\[/;

/** Reads STIX 2.0 and 2.1: bundles (ATT&CK among them), TAXII envelopes, lists and single objects. */
export const stix: Importer = {
  name: "stix",
  version: 1,
  title: "STIX 2.0 or 2.1 bundle, envelope, list or object as JSON, MITRE ATT&CK included",
  types: ["fortress/threat_intelligence", "fortress/relationships"],

  detect({ text }) {
    const begin = text.trimStart();
    if (begin.startsWith("{")) {
      if (BUNDLE.test(text)) return 0.95;
      return OBJECT.test(text) ? (OBJECTS.test(text) ? 0.8 : 0.7) : 0;
    }
    return /^\[\s*\{/.test(begin) && OBJECT.test(text) ? 0.6 : 0;
  },

  async *read(source, context) {
    const top: Record<string, unknown> = {};
    let objects = 0;
    for await (const fragment of source.json(["", "*", "objects[]", "[]"])) {
      if (fragment.path === "*") setMember(top, lastToken(fragment.pointer), fragment.value);
      else if (fragment.path === "") refuse("the document is no object", fragment.pointer);
      else {
        objects += 1;
        yield objectRow(fragment, context);
      }
    }
    if (objects > 0 || top["type"] === "bundle" || isEnvelope(top)) return;
    yield objectRow({ path: "", pointer: "", value: top }, context);
  },
};

/** A bundle or envelope may be empty; `objects` is then absent, or has nothing to give. */
function isEnvelope(top: Fields): boolean {
  return top["type"] === undefined && (Object.hasOwn(top, "more") || Object.keys(top).length === 0);
}

function objectRow({ value, pointer }: JsonFragment, context: ImportContext): ImportRow {
  const object = asFields(value);
  if (object !== undefined && isStixObject(object)) {
    return { kind: "record", ...stixRecord(object), at: pointer };
  }
  const reason = "no STIX object: type or id is missing, or the id does not begin with the type";
  if (!context.isLenient) refuse(reason, pointer);
  return { kind: "rejected", at: pointer, reason, text: canonicalJson(value).slice(0, 200) };
}

function refuse(reason: string, at: string): never {
  throw new ImportError("malformed", `not STIX: ${reason} (${at === "" ? "the top" : at})`, { at });
}
