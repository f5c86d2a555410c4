import { canonicalJson } from "@custody/contract/json";

import {
  asFields,
  asList,
  defined,
  instantOf,
  numberOf,
  restOf,
  textOf,
  textsOf,
  wholeOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import type { FindingList } from "./trivy-paths.ts";

/** A finding as a record: its type and fields, without the place. */
export interface Finding {
  readonly type: string;
  readonly fields: Fields;
}

/** Maps one element of a result's list; members without a field of their own are kept as details. */
export function findingOf(list: FindingList, item: Fields): Finding {
  switch (list) {
    case "Vulnerabilities":
      return { type: "vulnerabilities", fields: vulnerability(item) };
    case "Misconfigurations":
      return { type: "misconfigurations", fields: misconfiguration(item) };
    case "Secrets":
      return { type: "secrets", fields: secret(item) };
    case "Licenses":
      return { type: "licences", fields: licence(item) };
    case "Packages":
      return { type: "components", fields: component(item) };
    case "CustomResources":
      return { type: "components", fields: customResource(item) };
    case "ModifiedFindings":
    case "ExperimentalModifiedFindings":
      return { type: "suppressed_findings", fields: suppressed(item) };
  }
}

const VULNERABILITY = new Set(
  (
    "VulnerabilityID PkgName PkgPath InstalledVersion FixedVersion Status Severity Title " +
    "Description CweIDs References PublishedDate LastModifiedDate"
  ).split(" "),
);

function vulnerability(item: Fields): Fields {
  return defined({
    vulnerability_id: textOf(item["VulnerabilityID"]) ?? "unknown",
    package_name: textOf(item["PkgName"]),
    package_version: textOf(item["InstalledVersion"]),
    package_path: textOf(item["PkgPath"]),
    component: componentName(item, "PkgIdentifier", ["PkgName", "InstalledVersion"]),
    severity: textOf(item["Severity"])?.toLowerCase(),
    score: highestScore(item["CVSS"]),
    status: textOf(item["Status"]),
    title: textOf(item["Title"]),
    description: textOf(item["Description"]),
    fixed_version: textOf(item["FixedVersion"]),
    cwe_ids: textsOf(item["CweIDs"]),
    references: textsOf(item["References"]),
    published_at: instantOf(item["PublishedDate"]),
    modified_at: instantOf(item["LastModifiedDate"]),
    details: restOf(item, VULNERABILITY),
  });
}

/** The package URL where the tool gives one, else name and version. */
function componentName(
  item: Fields,
  identifier: string,
  [name, version]: readonly [string, string],
): string | undefined {
  const purl = textOf(asFields(item[identifier])?.["PURL"]);
  const plain = textOf(item[name]);
  if (purl !== undefined || plain === undefined) return purl;
  const installed = textOf(item[version]);
  return installed === undefined ? plain : `${plain}@${installed}`;
}

/** The highest base score that any source gives, newer CVSS versions before older. */
function highestScore(cvss: unknown): number | undefined {
  const sources = Object.values(asFields(cvss) ?? {}).map(asFields);
  for (const version of ["V40Score", "V3Score", "V2Score"]) {
    const scores = sources
      .map((source) => numberOf(source?.[version]))
      .filter((one) => one !== undefined);
    if (scores.length > 0) return Math.max(...scores);
  }
  return undefined;
}

const MISCONFIGURATION = new Set(
  "ID Severity Status Title Description Message Resolution References".split(" "),
);

function misconfiguration(item: Fields): Fields {
  const cause = asFields(item["CauseMetadata"]);
  return defined({
    check_id: textOf(item["ID"]) ?? textOf(item["AVDID"]) ?? "unknown",
    resource: textOf(cause?.["Resource"]),
    start_line: wholeOf(cause?.["StartLine"]),
    end_line: wholeOf(cause?.["EndLine"]),
    severity: textOf(item["Severity"])?.toLowerCase(),
    status: textOf(item["Status"])?.toLowerCase(),
    title: textOf(item["Title"]),
    description: textOf(item["Description"]),
    message: textOf(item["Message"]),
    resolution: textOf(item["Resolution"]),
    references: textsOf(item["References"]),
    details: restOf(item, MISCONFIGURATION),
  });
}

const SECRET = new Set("RuleID Category Severity Title StartLine EndLine Match".split(" "));

function secret(item: Fields): Fields {
  return defined({
    rule_id: textOf(item["RuleID"]) ?? "unknown",
    start_line: wholeOf(item["StartLine"]),
    end_line: wholeOf(item["EndLine"]),
    category: textOf(item["Category"]),
    severity: textOf(item["Severity"])?.toLowerCase(),
    title: textOf(item["Title"]),
    match: textOf(item["Match"]),
    details: restOf(item, SECRET),
  });
}

const LICENCE = new Set("Name PkgName FilePath Category Severity Confidence".split(" "));

function licence(item: Fields): Fields {
  return defined({
    licence: textOf(item["Name"]) ?? "unknown",
    package_name: textOf(item["PkgName"]),
    file_path: textOf(item["FilePath"]),
    category: textOf(item["Category"]),
    severity: textOf(item["Severity"])?.toLowerCase(),
    confidence: numberOf(item["Confidence"]),
    details: restOf(item, LICENCE),
  });
}

const COMPONENT = new Set("ID Name Version Licenses DependsOn".split(" "));

function component(item: Fields): Fields {
  const name = textOf(item["Name"]);
  const purl = textOf(asFields(item["Identifier"])?.["PURL"]);
  return defined({
    component:
      componentName(item, "Identifier", ["Name", "Version"]) ?? textOf(item["ID"]) ?? "unknown",
    kind: "library",
    name,
    version: textOf(item["Version"]),
    purl,
    reference: textOf(item["ID"]),
    licences: textsOf(item["Licenses"]),
    depends_on: textsOf(item["DependsOn"]),
    details: restOf(item, COMPONENT),
  });
}

function customResource(item: Fields): Fields {
  const kind = textOf(item["Type"]) ?? "custom-resource";
  return defined({
    component: `${kind}:${textOf(item["FilePath"]) ?? "unknown"}`,
    kind,
    name: textOf(item["FilePath"]),
    details: item,
  });
}

const SUPPRESSED = new Set("Type Status Statement Source Finding".split(" "));

function suppressed(item: Fields): Fields {
  const finding = asFields(item["Finding"]);
  const id = ["VulnerabilityID", "ID", "RuleID", "Name"]
    .map((name) => textOf(finding?.[name]))
    .find((one) => one !== undefined);
  return defined({
    finding_id: id ?? "unknown",
    kind: textOf(item["Type"]),
    component:
      finding === undefined
        ? undefined
        : componentName(finding, "PkgIdentifier", ["PkgName", "InstalledVersion"]),
    status: textOf(item["Status"]),
    statement: textOf(item["Statement"]),
    source: textOf(item["Source"]),
    finding,
    details: restOf(item, SUPPRESSED),
  });
}

/** Images that a kubernetes resource runs, as its scan metadata names them. */
export function imagesOf(resource: Fields): readonly string[] | undefined {
  const metadata = resource["Metadata"];
  const parts = Array.isArray(metadata) ? asList(metadata) : [metadata];
  const images = parts.flatMap((part) => {
    const fields = asFields(part);
    return [...asList(fields?.["RepoTags"]), ...asList(fields?.["RepoDigests"])];
  });
  return textsOf(images);
}

/** A value for messages, shortened. */
export function shortText(value: unknown): string {
  return canonicalJson(value).slice(0, 80);
}
