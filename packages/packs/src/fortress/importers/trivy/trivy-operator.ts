import {
  asFields,
  asList,
  defined,
  instantOf,
  numberOf,
  restOf,
  textOf,
  textsOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import type { Finding } from "./trivy-findings.ts";

const GROUP = /^aquasecurity\.github\.io\//;
const OPERATOR_LABEL = "trivy-operator.resource.";

/** A custom resource of the Trivy operator, read: findings, and whom they are about. */
export interface OperatorReport {
  readonly target: string;
  readonly location: string | undefined;
  readonly scannedAt: string | undefined;
  readonly toolVersion: string | undefined;
  readonly findings: readonly Finding[];
  /** The resource without its findings. */
  readonly rest: Fields;
}

/** Whether an object is a report that the Trivy operator keeps in a cluster. */
export function isOperatorReport(value: Fields): boolean {
  return GROUP.test(textOf(value["apiVersion"]) ?? "") && asFields(value["report"]) !== undefined;
}

/** Reads a vulnerability, configuration, secret, RBAC or infrastructure report of the operator. */
export function readOperatorReport(resource: Fields): OperatorReport {
  const metadata = asFields(resource["metadata"]) ?? {};
  const report = asFields(resource["report"]) ?? {};
  const labels = asFields(metadata["labels"]) ?? {};
  const owner = ["namespace", "kind", "name"]
    .map((part) => textOf(labels[OPERATOR_LABEL + part]))
    .filter((part) => part !== undefined);
  const name = textOf(metadata["name"]) ?? "unknown";
  const artifact = asFields(report["artifact"]);
  const image = [textOf(artifact?.["repository"]), textOf(artifact?.["tag"])]
    .filter((part) => part !== undefined)
    .join(":");
  const { vulnerabilities, checks, secrets, ...restOfReport } = report;
  return {
    target: owner.length > 0 ? owner.join("/") : name,
    location: textOf(labels["trivy-operator.container.name"]) ?? (image === "" ? undefined : image),
    scannedAt: instantOf(report["updateTimestamp"]) ?? instantOf(metadata["creationTimestamp"]),
    toolVersion: textOf(asFields(report["scanner"])?.["version"]),
    findings: [
      ...findings(vulnerabilities, vulnerability),
      ...findings(checks, misconfiguration),
      ...findings(secrets, secret),
    ],
    rest: { ...resource, report: restOfReport },
  };
}

function findings(list: unknown, map: (item: Fields) => Finding): Finding[] {
  return asList(list).map((item) => map(asFields(item) ?? { value: item }));
}

const VULNERABILITY = new Set(
  (
    "vulnerabilityID resource installedVersion fixedVersion severity score title description links " +
    "publishedDate lastModifiedDate packagePath"
  ).split(" "),
);

function vulnerability(item: Fields): Finding {
  const name = textOf(item["resource"]);
  const version = textOf(item["installedVersion"]);
  const plain = name !== undefined && version !== undefined ? `${name}@${version}` : name;
  return {
    type: "vulnerabilities",
    fields: defined({
      vulnerability_id: textOf(item["vulnerabilityID"]) ?? "unknown",
      package_name: name,
      package_version: version,
      package_path: textOf(item["packagePath"]),
      component: textOf(item["packagePURL"]) ?? plain,
      severity: textOf(item["severity"])?.toLowerCase(),
      score: numberOf(item["score"]),
      title: textOf(item["title"]),
      description: textOf(item["description"]),
      fixed_version: textOf(item["fixedVersion"]),
      references: textsOf(item["links"]),
      published_at: instantOf(item["publishedDate"]),
      modified_at: instantOf(item["lastModifiedDate"]),
      details: restOf(item, VULNERABILITY),
    }),
  };
}

const CHECK = new Set("checkID severity title description messages remediation success".split(" "));

function misconfiguration(item: Fields): Finding {
  const success = item["success"];
  return {
    type: "misconfigurations",
    fields: defined({
      check_id: textOf(item["checkID"]) ?? "unknown",
      severity: textOf(item["severity"])?.toLowerCase(),
      status: success === true ? "pass" : success === false ? "fail" : undefined,
      title: textOf(item["title"]),
      description: textOf(item["description"]),
      message: textsOf(item["messages"])?.join("\n"),
      resolution: textOf(item["remediation"]),
      details: restOf(item, CHECK),
    }),
  };
}

const SECRET = new Set("ruleID category severity title match".split(" "));

function secret(item: Fields): Finding {
  return {
    type: "secrets",
    fields: defined({
      rule_id: textOf(item["ruleID"]) ?? "unknown",
      category: textOf(item["category"]),
      severity: textOf(item["severity"])?.toLowerCase(),
      title: textOf(item["title"]),
      match: textOf(item["match"]),
      details: restOf(item, SECRET),
    }),
  };
}
