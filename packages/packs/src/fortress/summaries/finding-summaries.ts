import { defineSummary } from "@custody/contract/summary";
import type { SummaryDeclaration } from "@custody/contract/summary";

import { vulnerabilities } from "../types/vulnerabilities.ts";

/** How many vulnerabilities a target has, by severity, status and package. */
export const findingSummaries: SummaryDeclaration = defineSummary(vulnerabilities, {
  name: "fortress/finding_summaries",
  version: 1,
  title: "Vulnerabilities of one target by severity, status and package.",
  key: { target: "target" },
  measures: {
    vulnerabilities: { count: true },
    by_severity: { countBy: "severity" },
    by_status: { countBy: "status" },
    by_package: { countBy: "package_name" },
    fixable: { count: true, where: { value: "status", isIn: ["fixed"] } },
    scores: { histogram: "score", edges: [0.1, 4, 7, 9] },
  },
});
