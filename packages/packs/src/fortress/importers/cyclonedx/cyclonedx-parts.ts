import {
  asFields,
  asList,
  defined,
  instantOf,
  numberOf,
  restOf,
  textOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";

const COMPONENT = new Set(
  "type name group version purl cpe bom-ref components vulnerabilities licenses supplier".split(
    " ",
  ),
);

/** The name that stands for a component in the graph: its package URL, else group, name and version. */
export function componentName(item: Fields): string {
  const purl = textOf(item["purl"]);
  if (purl !== undefined) return purl;
  const name = [textOf(item["group"]), textOf(item["name"])].filter((part) => part !== undefined);
  const version = textOf(item["version"]);
  const plain = name.length === 0 ? (textOf(item["bom-ref"]) ?? "unnamed") : name.join("/");
  return version === undefined ? plain : `${plain}@${version}`;
}

/** The fields of a component; those nested in it are records of their own. */
export function componentOf(item: Fields, parent: string | undefined): Fields {
  const supplier = item["supplier"];
  return defined({
    component: componentName(item),
    kind: textOf(item["type"]),
    name: textOf(item["name"]),
    group: textOf(item["group"]),
    version: textOf(item["version"]),
    purl: textOf(item["purl"]),
    cpe: textOf(item["cpe"]),
    reference: textOf(item["bom-ref"]),
    parent,
    supplier: textOf(supplier) ?? textOf(asFields(supplier)?.["name"]),
    licences: licencesOf(item["licenses"]),
    details: withRest(item, COMPONENT, { licenses: item["licenses"], supplier }),
  });
}

/** Free-form members, with the mapped ones that hold more than their field does. */
function withRest(item: Fields, mapped: ReadonlySet<string>, more: Fields): Fields | undefined {
  const kept = Object.entries(more).filter(([, value]) => value !== undefined && hasMore(value));
  const rest = restOf(item, mapped);
  return rest === undefined && kept.length === 0
    ? undefined
    : { ...rest, ...Object.fromEntries(kept) };
}

function hasMore(value: unknown): boolean {
  if (Array.isArray(value)) return value.some((one) => hasMoreThanName(asFields(one)));
  const fields = asFields(value);
  return fields !== undefined && Object.keys(fields).length > 1;
}

function hasMoreThanName(choice: Fields | undefined): boolean {
  if (choice === undefined) return false;
  const inner = asFields(choice["license"]);
  return Object.keys(choice).length > 1 || (inner !== undefined && Object.keys(inner).length > 1);
}

function licencesOf(choices: unknown): readonly string[] | undefined {
  const names = asList(choices)
    .map((choice) => {
      const fields = asFields(choice);
      const licence = asFields(fields?.["license"]);
      return (
        textOf(licence?.["id"]) ??
        textOf(licence?.["name"]) ??
        textOf(fields?.["expression"]) ??
        textOf(asFields(fields?.["expression"])?.["content"])
      );
    })
    .filter((name) => name !== undefined);
  return names.length === 0 ? undefined : names;
}

const SERVICE = new Set("name group version bom-ref services endpoints authenticated".split(" "));

/** The fields of a service. */
export function serviceOf(item: Fields, parent: string | undefined): Fields {
  const endpoints = asList(item["endpoints"]).filter((one) => typeof one === "string");
  const authenticated = item["authenticated"];
  return defined({
    service: componentName(item),
    name: textOf(item["name"]),
    group: textOf(item["group"]),
    version: textOf(item["version"]),
    reference: textOf(item["bom-ref"]),
    parent,
    endpoints: endpoints.length === 0 ? undefined : endpoints,
    authenticated:
      authenticated === undefined ? undefined : authenticated === true || authenticated === "true",
    details: restOf(item, SERVICE),
  });
}

const VULNERABILITY = new Set("id description cwes published updated".split(" "));
const SEVERITIES = ["critical", "high", "medium", "low", "info", "none", "unknown"];

/** The fields of a vulnerability; `named` turns a reference into a component's name. */
export function vulnerabilityOf(
  item: Fields,
  named: (reference: string) => string,
  owner: Fields | undefined,
): Fields {
  const ratings = asList(item["ratings"]).map(asFields);
  const severities = ratings.map((rating) => textOf(rating?.["severity"])?.toLowerCase());
  const scores = ratings
    .map((rating) => scoreOf(rating?.["score"]))
    .filter((one) => one !== undefined);
  const affected = asList(item["affects"])
    .map((one) => textOf(asFields(one)?.["ref"]))
    .filter((one) => one !== undefined)
    .map(named);
  const single = affected.length === 1 ? affected[0] : undefined;
  return defined({
    vulnerability_id: textOf(item["id"]) ?? textOf(item["bom-ref"]) ?? "unknown",
    component: owner === undefined ? single : componentName(owner),
    package_name: owner === undefined ? single : textOf(owner["name"]),
    package_version: owner === undefined ? undefined : textOf(owner["version"]),
    affected_components: affected.length > 1 ? affected : undefined,
    severity: SEVERITIES.find((one) => severities.includes(one)),
    score: scores.length === 0 ? undefined : Math.max(...scores),
    status: textOf(asFields(item["analysis"])?.["state"]),
    description: textOf(item["description"]),
    cwe_ids: cwesOf(item["cwes"]),
    references: referencesOf(item["advisories"]),
    published_at: instantOf(item["published"]),
    modified_at: instantOf(item["updated"]),
    details: restOf(item, VULNERABILITY),
  });
}

/** XML of 1.4 on and the older extension write scores as text, the latter below `base`. */
function scoreOf(score: unknown): number | undefined {
  const value = asFields(score)?.["base"] ?? score;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return numberOf(number);
}

function cwesOf(cwes: unknown): readonly string[] | undefined {
  const ids = asList(cwes)
    .filter((one) => typeof one === "number" || typeof one === "string")
    .map((one) => `CWE-${String(one)}`);
  return ids.length === 0 ? undefined : ids;
}

function referencesOf(advisories: unknown): readonly string[] | undefined {
  const urls = asList(advisories)
    .map((one) => textOf(one) ?? textOf(asFields(one)?.["url"]))
    .filter((one) => one !== undefined);
  return urls.length === 0 ? undefined : urls;
}
