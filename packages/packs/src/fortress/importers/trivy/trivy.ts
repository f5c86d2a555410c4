import type { Importer } from "@custody/contract/importer";

import { TRIVY_PATHS } from "./trivy-paths.ts";
import { TrivyReader } from "./trivy-reader.ts";

const REPORT = /"SchemaVersion"\s*:\s*\d/;
const ARTIFACT = /"Artifact(?:Name|Type)"\s*:/;
const RESULT = /"(?:Vulnerabilities|Misconfigurations|Secrets|Licenses|Packages)"\s*:/;
const OPERATOR = /"apiVersion"\s*:\s*"aquasecurity\.github\.io\//;

/** Reads Trivy's JSON: reports of every kind, of a cluster, of the operator, and of old versions. */
export const trivy: Importer = {
  name: "trivy",
  version: 1,
  title: "Trivy report as JSON: image, file system, repository, cluster, or operator resources",
  types: [
    "fortress/scan_results",
    "fortress/vulnerabilities",
    "fortress/misconfigurations",
    "fortress/secrets",
    "fortress/licences",
    "fortress/components",
    "fortress/suppressed_findings",
    "fortress/workloads",
  ],

  detect({ text, isWhole, name }) {
    const begin = text.trimStart();
    if (OPERATOR.test(text)) return 0.9;
    if (begin.startsWith("{") && REPORT.test(text)) {
      return ARTIFACT.test(text) || /"(?:Results|Metadata|Trivy)"\s*:/.test(text) ? 0.95 : 0.5;
    }
    if (begin.startsWith("{") && /"ClusterName"\s*:/.test(text)) return 0.9;
    if (begin.startsWith("{") && ARTIFACT.test(text)) return 0.7;
    if (/^\[\s*\{/.test(begin) && /"Target"\s*:/.test(text)) return RESULT.test(text) ? 0.9 : 0.6;
    // Trivy before 0.20 writes null where nothing was found; nothing else that is read here does.
    if (isWhole && begin.trimEnd() === "null") return /trivy/i.test(name) ? 0.5 : 0.3;
    return 0;
  },

  async *read(source, context) {
    const reader = new TrivyReader(source.name, context);
    for await (const fragment of source.json([...TRIVY_PATHS.keys()])) yield* reader.take(fragment);
    yield* reader.end();
  },
};
