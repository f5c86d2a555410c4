import { readFileSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";

/** How many records of each type a file holds, counted without any code of the importers. */
export type Counts = Readonly<Record<string, number>>;

type Json = Record<string, unknown>;

/** The text of a small file, unpacked. */
export function plainText(path: string): string {
  const bytes = readFileSync(path);
  if (path.endsWith(".gz")) return gunzipSync(bytes).toString("utf8");
  return path.endsWith(".zst")
    ? zstdDecompressSync(bytes).toString("utf8")
    : bytes.toString("utf8");
}

/** Counts the records of a format's file; throws where it is no such file. */
export function independentCounts(format: string, text: string): Counts {
  switch (format) {
    case "garak":
      return garakCounts(text);
    case "trivy":
      return trivyCounts(JSON.parse(text));
    case "stix":
      return stixCounts(JSON.parse(text) as Json);
    default:
      return text.trimStart().startsWith("<")
        ? xmlCounts(text)
        : cyclonedxCounts(JSON.parse(text) as Json);
  }
}

const FRAME = ["start_run setup", "config", "init", "completion", "completed"];

function garakCounts(text: string): Counts {
  const rows = text.startsWith("{\n")
    ? [JSON.parse(text) as Json]
    : text
        .split("\n")
        .filter((line) => line.trim() !== "")
        .map((line) => JSON.parse(line) as Json);
  const of = (type: string | undefined): Json[] => rows.filter((row) => row["entry_type"] === type);
  const attempts = of("attempt");
  const uuids = new Set(
    attempts.flatMap((row) => (typeof row["uuid"] === "string" ? [row["uuid"]] : [])),
  );
  // Without uuids: every judged row is an attempt, and there is none that was never judged.
  const judged = attempts.filter((row) => row["uuid"] === undefined && row["status"] === 2);
  const known = new Set(["attempt", "eval", ...FRAME]);
  return {
    "redteam/session_evidence": uuids.size + judged.length,
    "redteam/evaluations": of("eval").length,
    "redteam/hits": of(undefined).length,
    "redteam/session_entries": rows.filter(
      ({ entry_type: type }) => type !== undefined && !known.has(type as string),
    ).length,
    "redteam/test_sessions": rows.some((row) => FRAME.includes(String(row["entry_type"]))) ? 1 : 0,
  };
}

const TRIVY_LISTS: Readonly<Record<string, string>> = {
  Vulnerabilities: "fortress/vulnerabilities",
  Misconfigurations: "fortress/misconfigurations",
  Secrets: "fortress/secrets",
  Licenses: "fortress/licences",
  Packages: "fortress/components",
  CustomResources: "fortress/components",
  ExperimentalModifiedFindings: "fortress/suppressed_findings",
  vulnerabilities: "fortress/vulnerabilities",
  checks: "fortress/misconfigurations",
  secrets: "fortress/secrets",
};

/** Counts the elements of every list of findings, wherever it lies. */
function trivyCounts(value: unknown): Counts {
  const counts: Record<string, number> = { "fortress/scan_results": 1 };
  const add = (type: string, count: number): void => {
    counts[type] = (counts[type] ?? 0) + count;
  };
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(walk);
    if (typeof node !== "object" || node === null) return;
    const isResource = "Results" in node && "Kind" in node;
    if (isResource) add("fortress/workloads", 1);
    for (const [name, child] of Object.entries(node)) {
      const type = TRIVY_LISTS[name];
      const first: unknown = Array.isArray(child) ? child[0] : undefined;
      const holdsResources = typeof first === "object" && first !== null && "Results" in first;
      if (type !== undefined && Array.isArray(child) && !holdsResources) add(type, child.length);
      else walk(child);
    }
  };
  walk(value);
  return counts;
}

function stixCounts(document: Json): Counts {
  const objects = (document["objects"] ?? [document]) as Json[];
  const isRelationship = (one: Json): boolean => one["type"] === "relationship";
  return {
    "fortress/relationships": objects.filter(isRelationship).length,
    "fortress/threat_intelligence": objects.filter((one) => !isRelationship(one)).length,
  };
}

function cyclonedxCounts(document: Json): Counts {
  const nested = (list: unknown, name: string): number =>
    ((list ?? []) as Json[]).reduce((sum, one) => sum + 1 + nested(one[name], name), 0);
  return {
    "fortress/sboms": 1,
    "fortress/components": nested(document["components"], "components"),
    "fortress/services": nested(document["services"], "services"),
    "fortress/component_dependencies": ((document["dependencies"] ?? []) as Json[]).length,
    "fortress/vulnerabilities": ((document["vulnerabilities"] ?? []) as Json[]).length,
  };
}

/** Counts start tags, leaving out the parts in which a component is no part of the product. */
function xmlCounts(text: string): Counts {
  const body = text
    .replace(/<!--[^]*?-->/g, "")
    .replace(/<metadata[\s>][^]*?<\/metadata>/, "")
    .replace(/<pedigree>[^]*?<\/pedigree>/g, "");
  const count = (pattern: RegExp): number => [...body.matchAll(pattern)].length;
  const dependencies = /<dependencies>([^]*)<\/dependencies>/.exec(body)?.[1] ?? "";
  // Of nested tags only the outer one is a record.
  let depth = 0;
  let outer = 0;
  for (const [tag] of dependencies.matchAll(/<\/?dependency\b[^>]*>/g)) {
    if (tag.startsWith("</")) depth -= 1;
    else {
      if (depth === 0) outer += 1;
      if (!tag.endsWith("/>")) depth += 1;
    }
  }
  return {
    "fortress/sboms": 1,
    "fortress/components": count(/<component[\s>]/g),
    "fortress/services": count(/<service[\s>]/g),
    "fortress/component_dependencies": outer,
    "fortress/vulnerabilities": count(/<(?:\w+:)?vulnerability[\s>]/g),
  };
}
