import type { Fields } from "../../../json-fields.ts";

const COUNT_NAMES: Readonly<Record<string, string>> = {
  vulnerabilities: "vulnerabilities",
  misconfigurations: "misconfigurations",
  secrets: "secrets",
  licences: "licences",
  components: "components",
  suppressed_findings: "suppressed",
};
const SEVERITIES = ["critical", "high", "medium", "low"] as const;

/** Counts a report's findings by type and severity while they pass. */
export class ScanTally {
  readonly #counts = new Map<string, number>();

  add(type: string, fields: Fields): void {
    this.#increment(COUNT_NAMES[type] ?? type);
    if (type === "components" || type === "suppressed_findings" || fields["status"] === "pass")
      return;
    this.#increment("findings");
    const severity = SEVERITIES.find((one) => one === fields["severity"]);
    if (severity !== undefined) this.#increment(severity);
  }

  fields(): Fields {
    const names = ["findings", ...SEVERITIES, ...Object.values(COUNT_NAMES)];
    return Object.fromEntries(names.map((name) => [name, this.#counts.get(name) ?? 0]));
  }

  #increment(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }
}
