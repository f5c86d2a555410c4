import type { Pack } from "@custody/contract/importer";

import { cyclonedx } from "./importers/cyclonedx/cyclonedx.ts";
import { stix } from "./importers/stix/stix.ts";
import { trivy } from "./importers/trivy/trivy.ts";
import { findingSummaries } from "./summaries/finding-summaries.ts";
import { componentDependencies } from "./types/component-dependencies.ts";
import { components } from "./types/components.ts";
import { licences } from "./types/licences.ts";
import { misconfigurations } from "./types/misconfigurations.ts";
import { relationships } from "./types/relationships.ts";
import { sboms } from "./types/sboms.ts";
import { scanResults } from "./types/scan-results.ts";
import { secrets } from "./types/secrets.ts";
import { securityAnalytics } from "./types/security-analytics.ts";
import { services } from "./types/services.ts";
import { suppressedFindings } from "./types/suppressed-findings.ts";
import { threatIntelligence } from "./types/threat-intelligence.ts";
import { vulnerabilities } from "./types/vulnerabilities.ts";
import { vulnerabilityTrends } from "./types/vulnerability-trends.ts";
import { workloads } from "./types/workloads.ts";

/** Security of what is run: scans, findings, components, clusters, and who threatens them. */
export const fortressPack: Pack = {
  name: "fortress",
  types: [
    scanResults,
    vulnerabilities,
    misconfigurations,
    secrets,
    licences,
    components,
    componentDependencies,
    services,
    sboms,
    suppressedFindings,
    workloads,
    threatIntelligence,
    relationships,
    securityAnalytics,
    vulnerabilityTrends,
  ],
  importers: [trivy, cyclonedx, stix],
  summaries: [findingSummaries],
};
