import {
  asFields,
  asList,
  defined,
  instantOf,
  restOf,
  textOf,
  textsOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";

const OBJECT = new Set(
  "type id spec_version name description created modified revoked pattern labels".split(" "),
);
const RELATIONSHIP = new Set(
  "type id relationship_type source_ref target_ref description created modified revoked".split(" "),
);
/** Objects without versions: they have no `modified` (STIX 2.1, §3.2). */
const UNVERSIONED = new Set(["marking-definition", "bundle"]);
/** STIX 2.1, §6: cyber observables have neither `created` nor `modified`. */
const OBSERVABLES = new Set(
  (
    "artifact autonomous-system directory domain-name email-addr email-message file ipv4-addr " +
    "ipv6-addr mac-addr mutex network-traffic process software url user-account " +
    "windows-registry-key x509-certificate"
  ).split(" "),
);

/** Whether a value is a STIX object at all: a type, and an id that begins with it. */
export function isStixObject(value: Fields): boolean {
  const type = textOf(value["type"]);
  return type !== undefined && (textOf(value["id"])?.startsWith(`${type}--`) ?? false);
}

/** The record of a STIX object; relationships are a type of their own. */
export function stixRecord(object: Fields): { readonly type: string; readonly fields: Fields } {
  const isRelationship =
    object["type"] === "relationship" &&
    typeof object["source_ref"] === "string" &&
    typeof object["target_ref"] === "string";
  return isRelationship
    ? { type: "fortress/relationships", fields: relationship(object) }
    : { type: "fortress/threat_intelligence", fields: intelligence(object) };
}

function intelligence(object: Fields): Fields {
  const references = asList(object["external_references"]).map(asFields);
  const urls = references.map((one) => textOf(one?.["url"])).filter((one) => one !== undefined);
  const phases = asList(object["kill_chain_phases"])
    .map((one) => textOf(asFields(one)?.["phase_name"]))
    .filter((one) => one !== undefined);
  const revoked = object["revoked"];
  return defined({
    stix_id: textOf(object["id"]),
    stix_type: textOf(object["type"]),
    spec_version: textOf(object["spec_version"]),
    name: textOf(object["name"]) ?? textOf(object["value"]),
    description: textOf(object["description"]),
    created_at: instantOf(object["created"]),
    modified_at: instantOf(object["modified"]),
    revoked: typeof revoked === "boolean" ? revoked : undefined,
    external_id: references
      .map((one) => textOf(one?.["external_id"]))
      .find((one) => one !== undefined),
    pattern: textOf(object["pattern"]),
    labels: textsOf(object["labels"]),
    kill_chain_phases: phases.length === 0 ? undefined : phases,
    references: urls.length === 0 ? undefined : urls,
    deviations: deviationsOf(object),
    details: restOf(object, OBJECT),
  });
}

function relationship(object: Fields): Fields {
  const source = textOf(object["source_ref"]) ?? "";
  const target = textOf(object["target_ref"]) ?? "";
  const verb = textOf(object["relationship_type"]) ?? "related-to";
  const revoked = object["revoked"];
  return defined({
    stix_id: textOf(object["id"]),
    relationship_type: verb,
    source_ref: source,
    target_ref: target,
    relation: `${typeOfRef(source)} ${verb} ${typeOfRef(target)}`,
    description: textOf(object["description"]),
    created_at: instantOf(object["created"]),
    modified_at: instantOf(object["modified"]),
    revoked: typeof revoked === "boolean" ? revoked : undefined,
    deviations: deviationsOf(object),
    details: restOf(object, RELATIONSHIP),
  });
}

function typeOfRef(ref: string): string {
  return ref.split("--", 1)[0] ?? ref;
}

/** Ways in which an object is not as the specification wants it; it is kept nevertheless. */
function deviationsOf(object: Fields): readonly string[] | undefined {
  const type = textOf(object["type"]) ?? "";
  const created = instantOf(object["created"]);
  const modified = instantOf(object["modified"]);
  const found: string[] = [];
  if (!OBSERVABLES.has(type)) {
    if (created === undefined) found.push("created is missing or no time");
    if (modified === undefined && !UNVERSIONED.has(type))
      found.push("modified is missing or no time");
  }
  if (created !== undefined && modified !== undefined && modified < created) {
    found.push("modified is before created");
  }
  return found.length === 0 ? undefined : found;
}
