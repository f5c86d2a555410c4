import { describe, expect, test } from "vitest";

import { fieldsOf, importAll, sourceOf } from "../../../testing/read-text.ts";
import { fortressPack } from "../../fortress-pack.ts";
import { trivy } from "./trivy.ts";

const vulnerability = {
  VulnerabilityID: "CVE-2026-0001",
  PkgID: "lib@1.0",
  PkgName: "lib",
  PkgIdentifier: { PURL: "pkg:deb/debian/lib@1.0", UID: "u" },
  InstalledVersion: "1.0",
  FixedVersion: "1.1",
  Status: "fixed",
  Severity: "HIGH",
  Title: "a title",
  CweIDs: ["CWE-79"],
  CVSS: { nvd: { V2Score: 9.9, V3Score: 7.5 }, redhat: { V3Score: 6.1 } },
  PublishedDate: "2026-01-05T08:00:00Z",
  "x.new": { $field: 1 },
};
const report = {
  SchemaVersion: 2,
  Trivy: { Version: "0.69.0" },
  ReportID: "report-1",
  CreatedAt: "2026-01-06T08:00:00.000000005Z",
  ArtifactName: "alpine:3.11",
  ArtifactType: "container_image",
  Metadata: { ImageID: "sha256:x" },
  Results: [
    {
      Target: "alpine:3.11 (alpine 3.11)",
      Class: "os-pkgs",
      Type: "alpine",
      Vulnerabilities: [vulnerability, vulnerability],
      Packages: [{ ID: "lib@1.0", Name: "lib", Version: "1.0", DependsOn: ["libc@2"] }],
    },
    {
      Target: "Dockerfile",
      Class: "config",
      MisconfSummary: { Successes: 1, Failures: 1 },
      Misconfigurations: [
        {
          ID: "DS002",
          Severity: "LOW",
          Status: "FAIL",
          CauseMetadata: { StartLine: 3, Resource: "r" },
        },
        { ID: "DS003", Severity: "LOW", Status: "PASS" },
      ],
      Secrets: [{ RuleID: "aws", Severity: "CRITICAL", StartLine: 1, EndLine: 2, Match: "****" }],
      Licenses: [{ Name: "MIT", PkgName: "lib", Severity: "LOW", Confidence: 1 }],
      ExperimentalModifiedFindings: [
        {
          Type: "vulnerability",
          Status: "ignored",
          Source: ".trivyignore",
          Finding: vulnerability,
        },
      ],
      Vulnerabilities: null,
    },
  ],
};

function expectValid(rows: Awaited<ReturnType<typeof importAll>>): void {
  const types = new Map(fortressPack.types.map((type) => [type.name, type]));
  for (const row of rows) {
    if (row.kind !== "record") continue;
    expect(types.get(row.type)?.schema.safeParse(row.fields).error?.issues ?? []).toEqual([]);
  }
}

describe("trivy", () => {
  test.each([1, 13, 100_000])(
    "every list of a result becomes records, cut at %i bytes",
    async (pieceBytes) => {
      const rows = await importAll(trivy, JSON.stringify(report), { pieceBytes });
      expectValid(rows);
      const place = {
        target: "alpine:3.11",
        target_kind: "container_image",
        location: "alpine:3.11 (alpine 3.11)",
      };
      expect(fieldsOf(rows, "fortress/vulnerabilities")).toEqual([
        {
          ...place,
          vulnerability_id: "CVE-2026-0001",
          package_name: "lib",
          package_version: "1.0",
          component: "pkg:deb/debian/lib@1.0",
          severity: "high",
          score: 7.5,
          status: "fixed",
          title: "a title",
          fixed_version: "1.1",
          cwe_ids: ["CWE-79"],
          published_at: "2026-01-05T08:00:00.000Z",
          details: {
            PkgID: "lib@1.0",
            PkgIdentifier: { PURL: "pkg:deb/debian/lib@1.0", UID: "u" },
            CVSS: { nvd: { V2Score: 9.9, V3Score: 7.5 }, redhat: { V3Score: 6.1 } },
            "x.new": { $field: 1 },
          },
        },
        expect.objectContaining({ vulnerability_id: "CVE-2026-0001", occurrence: 2 }),
      ]);
      expect(fieldsOf(rows, "fortress/components")).toMatchObject([
        { ...place, component: "lib@1.0", name: "lib", depends_on: ["libc@2"] },
      ]);
      expect(fieldsOf(rows, "fortress/misconfigurations")).toMatchObject([
        { check_id: "DS002", status: "fail", start_line: 3, resource: "r", location: "Dockerfile" },
        { check_id: "DS003", status: "pass" },
      ]);
      expect(fieldsOf(rows, "fortress/secrets")).toMatchObject([
        { rule_id: "aws", severity: "critical", start_line: 1, end_line: 2, match: "****" },
      ]);
      expect(fieldsOf(rows, "fortress/licences")).toMatchObject([
        { licence: "MIT", confidence: 1 },
      ]);
      expect(fieldsOf(rows, "fortress/suppressed_findings")).toMatchObject([
        {
          finding_id: "CVE-2026-0001",
          status: "ignored",
          source: ".trivyignore",
          finding: vulnerability,
        },
      ]);
      expect(fieldsOf(rows, "fortress/scan_results")).toMatchObject([
        {
          scan_id: "report-1",
          tool_version: "0.69.0",
          target: "alpine:3.11",
          scanned_at: "2026-01-06T08:00:00.000Z",
          findings: 5,
          critical: 1,
          high: 2,
          medium: 0,
          low: 2,
          vulnerabilities: 2,
          misconfigurations: 2,
          components: 1,
          suppressed: 1,
        },
      ]);
    },
  );

  test("findings carry nothing of the scan, so that an unchanged one is the same record again", async () => {
    const again = { ...report, ReportID: "report-2", CreatedAt: "2026-02-06T08:00:00Z" };
    const first = await importAll(trivy, JSON.stringify(report));
    const second = await importAll(trivy, JSON.stringify(again), { sha256: "cd".repeat(32) });
    expect(fieldsOf(second, "fortress/vulnerabilities")).toEqual(
      fieldsOf(first, "fortress/vulnerabilities"),
    );
  });

  test("a report whose members are sorted gives the same findings", async () => {
    const sorted = JSON.stringify({
      ArtifactName: "alpine:3.11",
      ArtifactType: "container_image",
      Results: [{ Packages: [{ Name: "lib" }], Target: "late", Vulnerabilities: [vulnerability] }],
      SchemaVersion: 2,
    });
    const rows = await importAll(trivy, sorted);
    expect(fieldsOf(rows, "fortress/components")).toMatchObject([{ location: "late" }]);
    expect(fieldsOf(rows, "fortress/vulnerabilities")).toMatchObject([{ location: "late" }]);
  });

  test("a result without a target is read to its end", async () => {
    const rows = await importAll(
      trivy,
      JSON.stringify({
        SchemaVersion: 2,
        ArtifactName: "a",
        Results: [{ Vulnerabilities: [vulnerability] }],
      }),
    );
    expect(fieldsOf(rows, "fortress/vulnerabilities")).toHaveLength(1);
    expect(fieldsOf(rows, "fortress/vulnerabilities")[0]).not.toHaveProperty("location");
  });

  test("arrays and null of old versions are reports", async () => {
    const old = JSON.stringify([{ Target: "t", Type: "debian", Vulnerabilities: [vulnerability] }]);
    expect(trivy.detect((await sourceOf(old)).head)).toBe(0.9);
    expect(fieldsOf(await importAll(trivy, old), "fortress/vulnerabilities")).toMatchObject([
      { target: "sample.json", location: "t" },
    ]);
    expect(trivy.detect((await sourceOf("null\n")).head)).toBeGreaterThan(0.2);
    expect(fieldsOf(await importAll(trivy, "null"), "fortress/scan_results")).toMatchObject([
      { findings: 0, scan_id: `sha256:${"ab".repeat(32)}` },
    ]);
  });

  test("a cluster's resources are workloads, and their findings are of them", async () => {
    const resource = {
      Namespace: "shop",
      Kind: "Deployment",
      Name: "web",
      Metadata: [{ RepoTags: ["web:1"] }],
      Results: [{ Target: "web:1 (debian)", Vulnerabilities: [vulnerability] }],
    };
    const rows = await importAll(
      trivy,
      JSON.stringify({ ClusterName: "c1", Resources: [resource] }),
    );
    expectValid(rows);
    expect(fieldsOf(rows, "fortress/workloads")).toMatchObject([
      { cluster: "c1", namespace: "shop", kind: "Deployment", name: "web", images: ["web:1"] },
    ]);
    expect(fieldsOf(rows, "fortress/vulnerabilities")).toMatchObject([
      { target: "c1/shop/Deployment/web", target_kind: "kubernetes", location: "web:1 (debian)" },
    ]);
  });

  test("the operator's custom resources are read one by one, alone or in lists", async () => {
    const resource = {
      apiVersion: "aquasecurity.github.io/v1alpha1",
      kind: "VulnerabilityReport",
      metadata: {
        name: "r",
        labels: {
          "trivy-operator.resource.namespace": "shop",
          "trivy-operator.resource.kind": "ReplicaSet",
          "trivy-operator.resource.name": "web",
          "trivy-operator.container.name": "nginx",
        },
      },
      report: {
        updateTimestamp: "2026-01-05T08:00:00Z",
        scanner: { name: "Trivy", version: "0.38.2" },
        vulnerabilities: [
          { vulnerabilityID: "CVE-1", resource: "lib", installedVersion: "1", score: 5 },
        ],
        checks: [{ checkID: "KSV014", success: false, messages: ["a", "b"] }],
        secrets: [{ ruleID: "aws", target: "root/aws.txt" }],
      },
    };
    const shapes = [
      resource,
      { "vulnerabilityreports.aquasecurity.github.io": [resource], "empty.x": [] },
      { apiVersion: "v1", kind: "List", items: [resource] },
    ];
    for (const shape of shapes) {
      const rows = await importAll(trivy, JSON.stringify(shape));
      expectValid(rows);
      expect(fieldsOf(rows, "fortress/vulnerabilities")).toMatchObject([
        { target: "shop/ReplicaSet/web", location: "nginx", vulnerability_id: "CVE-1", score: 5 },
      ]);
      expect(fieldsOf(rows, "fortress/misconfigurations")).toMatchObject([
        { check_id: "KSV014", status: "fail", message: "a\nb" },
      ]);
      expect(fieldsOf(rows, "fortress/secrets")).toMatchObject([{ location: "root/aws.txt" }]);
      expect(fieldsOf(rows, "fortress/scan_results")).toMatchObject([
        { scanned_at: "2026-01-05T08:00:00.000Z", tool_version: "0.38.2", findings: 3 },
      ]);
    }
  });

  test("what is no report is refused with its pointer", async () => {
    const refused = [
      ['"text"', ""],
      ['{"SchemaVersion":2,"Results":[1]}', "/Results/0"],
      ['{"SchemaVersion":2,"Results":[{"Vulnerabilities":["x"]}]}', "/Results/0/Vulnerabilities/0"],
    ] as const;
    for (const [text, at] of refused) {
      await expect(importAll(trivy, text)).rejects.toMatchObject({ code: "malformed", at });
    }
    const [, , [odd]] = refused;
    expect(await importAll(trivy, odd, { isLenient: true })).toContainEqual({
      kind: "rejected",
      at: "/Results/0/Vulnerabilities/0",
      reason: "a finding is no object",
      text: '"x"',
    });
  });
});
