import { ImportError } from "@custody/contract/importer";
import type { ImportContext, ImportRow, JsonFragment } from "@custody/contract/importer";

import {
  asFields,
  asList,
  defined,
  instantOf,
  lastToken,
  restOf,
  setMember,
  textOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import { Occurrences } from "../../../occurrences.ts";
import { ScanTally } from "./scan-tally.ts";
import { findingOf, imagesOf, shortText } from "./trivy-findings.ts";
import type { Finding } from "./trivy-findings.ts";
import { isOperatorReport, readOperatorReport } from "./trivy-operator.ts";
import { TRIVY_PATHS } from "./trivy-paths.ts";
import type { FindingList, TrivyPart } from "./trivy-paths.ts";

// Trivy writes a result's target before its findings. Where another tool has sorted the members,
// findings wait for it, and this many of them fit into memory.
const WAITING_MAX = 20_000;

interface Waiting {
  readonly list: FindingList;
  readonly item: Fields;
  readonly at: string;
}

/** A part of the document whose members come one by one. */
interface Part {
  readonly pointer: string;
  readonly fields: Record<string, unknown>;
}

const TOP = new Set(["ArtifactName", "ArtifactType", "CreatedAt", "ReportID"]);
const RESOURCE = new Set(["Namespace", "Kind", "Name"]);

/** Turns the parts of a Trivy document into rows as they come. */
export class TrivyReader {
  readonly #context: ImportContext;
  readonly #sourceName: string;
  readonly #top: Record<string, unknown> = {};
  readonly #occurrences = new Occurrences();
  readonly #tally = new ScanTally();
  readonly #results: Fields[] = [];
  #resource: Part | undefined;
  #result: Part | undefined;
  #waiting: Waiting[] = [];
  #scannedAt: string | undefined;
  #toolVersion: string | undefined;

  constructor(sourceName: string, context: ImportContext) {
    this.#sourceName = sourceName;
    this.#context = context;
  }

  *take(fragment: JsonFragment): Generator<ImportRow> {
    const part = TRIVY_PATHS.get(fragment.path);
    switch (part?.kind) {
      case "top":
        setMember(this.#top, lastToken(fragment.pointer), fragment.value);
        return;
      case "element":
        yield* this.#element(fragment);
        return;
      case "resource":
        yield* this.#enter(fragment.pointer, part);
        if (this.#resource !== undefined) {
          setMember(this.#resource.fields, lastToken(fragment.pointer), fragment.value);
        }
        return;
      case "result":
        yield* this.#enter(fragment.pointer, part);
        if (this.#result !== undefined) {
          setMember(this.#result.fields, lastToken(fragment.pointer), fragment.value);
        }
        return;
      case "finding":
        yield* this.#enter(fragment.pointer, part);
        yield* this.#finding(part.list, fragment);
        return;
      default:
        // A report without findings is the word null in Trivy before 0.20.
        if (fragment.value !== null) refuse("unexpected content", fragment);
    }
  }

  /** The parts that only the end completes, and the scan itself. */
  *end(): Generator<ImportRow> {
    yield* this.#leaveResult();
    yield* this.#leaveResource();
    const single = isOperatorReport(this.#top) ? this.#top : undefined;
    if (single !== undefined) yield* this.#operatorReport(single, "");
    const version = textOf(asFields(this.#top["Trivy"])?.["Version"]) ?? this.#toolVersion;
    yield { kind: "tool", name: "trivy", ...(version === undefined ? {} : { version }) };
    yield {
      kind: "record",
      type: "fortress/scan_results",
      at: "",
      fields: defined({
        scan_id: textOf(this.#top["ReportID"]) ?? `sha256:${this.#context.sha256}`,
        tool: "trivy",
        tool_version: version,
        target: this.#scanTarget(),
        target_kind: this.#targetKind(),
        scanned_at: instantOf(this.#top["CreatedAt"]) ?? this.#scannedAt,
        ...this.#tally.fields(),
        results: this.#results.length === 0 ? undefined : this.#results,
        details: single === undefined ? restOf(this.#top, TOP) : undefined,
      }),
    };
  }

  *#element(fragment: JsonFragment): Generator<ImportRow> {
    const value = asFields(fragment.value);
    if (value !== undefined && isOperatorReport(value)) {
      yield* this.#operatorReport(value, fragment.pointer);
      return;
    }
    const name = lastToken(fragment.pointer.slice(0, fragment.pointer.lastIndexOf("/")));
    const list = asList(this.#top[name]);
    setMember(this.#top, name, [...list, fragment.value]);
  }

  *#operatorReport(resource: Fields, at: string): Generator<ImportRow> {
    const report = readOperatorReport(resource);
    this.#scannedAt ??= report.scannedAt;
    this.#toolVersion ??= report.toolVersion;
    this.#results.push(report.rest);
    for (const finding of report.findings) {
      const { location: own, ...fields } = withOwnLocation(finding.fields);
      const place = {
        target: report.target,
        target_kind: "kubernetes",
        location: own ?? report.location,
      };
      yield this.#row({ ...finding, fields }, place, at);
    }
  }

  /** Moves to the resource and the result that a pointer lies in. */
  *#enter(
    pointer: string,
    part: Extract<TrivyPart, { readonly resourceDepth: number }>,
  ): Generator<ImportRow> {
    const resource = beginning(pointer, part.resourceDepth);
    const result = "resultDepth" in part ? beginning(pointer, part.resultDepth) : undefined;
    if (this.#result !== undefined && this.#result.pointer !== result) yield* this.#leaveResult();
    if (this.#resource?.pointer !== resource) {
      yield* this.#leaveResource();
      if (part.resourceDepth > 0) this.#resource = { pointer: resource, fields: {} };
    }
    if (result !== undefined) this.#result ??= { pointer: result, fields: {} };
  }

  *#finding(list: FindingList, fragment: JsonFragment): Generator<ImportRow> {
    const item = asFields(fragment.value);
    if (item === undefined) {
      if (!this.#context.isLenient) refuse("a finding is no object", fragment);
      const text = shortText(fragment.value);
      yield { kind: "rejected", at: fragment.pointer, reason: "a finding is no object", text };
      return;
    }
    this.#waiting.push({ list, item, at: fragment.pointer });
    if (this.#result !== undefined && Object.hasOwn(this.#result.fields, "Target")) {
      yield* this.#release();
    } else if (this.#waiting.length > WAITING_MAX) {
      throw new ImportError(
        "limit",
        `more than ${WAITING_MAX} findings come before their result's Target; put Target first`,
        { at: fragment.pointer },
      );
    }
  }

  *#release(): Generator<ImportRow> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const place = {
      target: this.#workload() ?? this.#scanTarget(),
      target_kind: this.#targetKind(),
      location: textOf(this.#result?.fields["Target"]),
    };
    for (const { list, item, at } of waiting) yield this.#row(findingOf(list, item), place, at);
  }

  #row(finding: Finding, place: Fields, at: string): ImportRow {
    const { type } = finding;
    this.#tally.add(type, finding.fields);
    const fields = { ...place, ...finding.fields };
    const isPlain = type === "suppressed_findings";
    const { target_kind: _kind, ...plain } = fields;
    const occurrence = this.#occurrences.next(
      type,
      KEY_FIELDS.map((name) => fields[name] ?? null),
    );
    return {
      kind: "record",
      type: `fortress/${type}`,
      at,
      fields: defined({ ...(isPlain ? plain : fields), occurrence }),
    };
  }

  *#leaveResult(): Generator<ImportRow> {
    if (this.#result === undefined) return;
    yield* this.#release();
    this.#results.push({ ...this.#result.fields });
    this.#result = undefined;
  }

  *#leaveResource(): Generator<ImportRow> {
    const resource = this.#resource;
    const workload = this.#workload();
    this.#resource = undefined;
    if (resource === undefined || workload === undefined) return;
    yield {
      kind: "record",
      type: "fortress/workloads",
      at: resource.pointer,
      fields: defined({
        cluster: textOf(this.#top["ClusterName"]),
        namespace: textOf(resource.fields["Namespace"]),
        kind: textOf(resource.fields["Kind"]) ?? "unknown",
        name: textOf(resource.fields["Name"]) ?? "unknown",
        workload,
        images: imagesOf(resource.fields),
        details: restOf(resource.fields, RESOURCE),
      }),
    };
  }

  #workload(): string | undefined {
    const fields = this.#resource?.fields;
    if (fields === undefined) return undefined;
    return [this.#top["ClusterName"], fields["Namespace"], fields["Kind"], fields["Name"]]
      .map(textOf)
      .filter((part) => part !== undefined)
      .join("/");
  }

  #scanTarget(): string {
    const tags = asList(asFields(this.#top["Metadata"])?.["RepoTags"]);
    return (
      this.#context.labels["target"] ??
      textOf(this.#top["ArtifactName"]) ??
      textOf(this.#top["ClusterName"]) ??
      textOf(tags[0]) ??
      this.#sourceName
    );
  }

  #targetKind(): string | undefined {
    if (this.#top["ClusterName"] !== undefined || this.#resource !== undefined) return "kubernetes";
    const metadata = asFields(this.#top["Metadata"]);
    return (
      textOf(this.#top["ArtifactType"]) ?? (metadata?.["ImageID"] ? "container_image" : undefined)
    );
  }
}

/** The fields of all finding types' keys: findings equal in them are occurrences of one another. */
const KEY_FIELDS = (
  "target location vulnerability_id package_name package_version package_path check_id resource " +
  "start_line end_line message rule_id match licence file_path kind component finding_id"
).split(" ");

/** The operator names the file of a finding inside it. */
function withOwnLocation(fields: Fields): Fields & { readonly location: string | undefined } {
  const details = asFields(fields["details"]);
  return { ...fields, location: textOf(details?.["target"]) };
}

function beginning(pointer: string, depth: number): string {
  return pointer.split("/", depth + 1).join("/");
}

function refuse(reason: string, { pointer, value }: JsonFragment): never {
  throw new ImportError(
    "malformed",
    `not a Trivy report: ${reason} at ${pointer === "" ? "the top" : pointer}: ${shortText(value)}`,
    { at: pointer },
  );
}
