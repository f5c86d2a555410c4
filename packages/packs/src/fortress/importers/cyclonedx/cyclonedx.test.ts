import { describe, expect, test } from "vitest";

import { fieldsOf, importAll, sourceOf } from "../../../testing/read-text.ts";
import { fortressPack } from "../../fortress-pack.ts";
import { cyclonedx } from "./cyclonedx.ts";

const json = {
  bomFormat: "CycloneDX",
  specVersion: "1.6",
  serialNumber: "urn:uuid:1",
  version: 2,
  metadata: {
    timestamp: "2026-01-05T08:00:00Z",
    tools: { components: [{ name: "maker", version: "9" }] },
    component: {
      "bom-ref": "root",
      type: "application",
      group: "org.demo",
      name: "app",
      version: "1.0",
    },
  },
  components: [
    {
      "bom-ref": "a",
      type: "library",
      name: "lib",
      version: "1",
      purl: "pkg:npm/lib@1",
      supplier: { name: "Acme" },
      licenses: [{ license: { id: "MIT" } }, { expression: "MIT OR Apache-2.0" }],
      hashes: [{ alg: "SHA-1", content: "00" }],
      components: [{ "bom-ref": "b", type: "file", group: "g", name: "inner" }],
    },
    { name: "lib", version: "1", purl: "pkg:npm/lib@1", type: "library" },
  ],
  services: [{ "bom-ref": "s", name: "api", endpoints: ["https://x"], authenticated: true }],
  dependencies: [{ ref: "root", dependsOn: ["a", "unknown"] }, { ref: "b" }],
  vulnerabilities: [
    {
      id: "CVE-2026-0001",
      ratings: [
        { severity: "low", score: 2 },
        { severity: "high", score: 7.5 },
      ],
      cwes: [79],
      advisories: [{ url: "https://a" }],
      analysis: { state: "exploitable" },
      affects: [{ ref: "a" }],
    },
  ],
  "x-more": { kept: true },
};

const xml = `<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.6" xmlns:v="http://cyclonedx.org/schema/ext/vulnerability/1.0"
  serialNumber="urn:uuid:1" version="2">
  <metadata>
    <timestamp>2026-01-05T08:00:00Z</timestamp>
    <tools><tool><name>maker</name><version>9</version></tool></tools>
    <component type="application" bom-ref="root"><group>org.demo</group><name>app</name></component>
  </metadata>
  <components>
    <component type="library" bom-ref="a">
      <name>lib</name><version>1</version><purl>pkg:npm/lib@1</purl>
      <supplier><name>Acme</name></supplier>
      <licenses><license><id>MIT</id></license><expression>MIT OR Apache-2.0</expression></licenses>
      <hashes><hash alg="SHA-1">00</hash></hashes>
      <description><![CDATA[a < b]]> &amp; c</description>
      <properties><property name="p">v</property></properties>
      <pedigree><ancestors><component type="library"><name>old</name></component></ancestors></pedigree>
      <components><component type="file" bom-ref="b"><group>g</group><name>inner</name></component></components>
      <v:vulnerabilities>
        <v:vulnerability ref="a"><v:id>CVE-2020-1</v:id>
          <v:ratings><v:rating><v:score><v:base>4.3</v:base></v:score><v:severity>Low</v:severity></v:rating></v:ratings>
        </v:vulnerability>
      </v:vulnerabilities>
    </component>
    <component type="application"></component>
  </components>
  <services><service bom-ref="s"><name>api</name><endpoints><endpoint>https://x</endpoint></endpoints>
    <authenticated>true</authenticated></service></services>
  <dependencies><dependency ref="root"><dependency ref="a"/></dependency><dependency ref="b"/></dependencies>
  <vulnerabilities><vulnerability><id>CVE-2026-0001</id>
    <ratings><rating><score>7.5</score><severity>high</severity></rating></ratings>
    <cwes><cwe>79</cwe></cwes><affects><target><ref>a</ref></target></affects></vulnerability></vulnerabilities>
</bom>`;

function expectValid(rows: Awaited<ReturnType<typeof importAll>>): void {
  const types = new Map(fortressPack.types.map((type) => [type.name, type]));
  for (const row of rows) {
    if (row.kind !== "record") continue;
    expect(types.get(row.type)?.schema.safeParse(row.fields).error?.issues ?? []).toEqual([]);
  }
}

describe("CycloneDX", () => {
  test.each([1, 100_000])(
    "a JSON document becomes records, cut at %i bytes",
    async (pieceBytes) => {
      const rows = await importAll(cyclonedx, JSON.stringify(json), { pieceBytes });
      expectValid(rows);
      const place = { target: "org.demo/app", target_kind: "application" };
      expect(fieldsOf(rows, "fortress/components")).toEqual([
        {
          ...place,
          component: "pkg:npm/lib@1",
          kind: "library",
          name: "lib",
          version: "1",
          purl: "pkg:npm/lib@1",
          reference: "a",
          supplier: "Acme",
          licences: ["MIT", "MIT OR Apache-2.0"],
          details: { hashes: [{ alg: "SHA-1", content: "00" }] },
        },
        {
          ...place,
          component: "g/inner",
          kind: "file",
          name: "inner",
          group: "g",
          reference: "b",
          parent: "pkg:npm/lib@1",
        },
        expect.objectContaining({ component: "pkg:npm/lib@1", occurrence: 2 }),
      ]);
      expect(fieldsOf(rows, "fortress/services")).toMatchObject([
        { service: "api", endpoints: ["https://x"], authenticated: true },
      ]);
      expect(fieldsOf(rows, "fortress/component_dependencies")).toEqual([
        { target: "org.demo/app", component: "root", depends_on: ["pkg:npm/lib@1", "unknown"] },
        { target: "org.demo/app", component: "g/inner" },
      ]);
      expect(fieldsOf(rows, "fortress/vulnerabilities")).toMatchObject([
        {
          ...place,
          vulnerability_id: "CVE-2026-0001",
          component: "pkg:npm/lib@1",
          severity: "high",
          score: 7.5,
          status: "exploitable",
          cwe_ids: ["CWE-79"],
          references: ["https://a"],
        },
      ]);
      expect(fieldsOf(rows, "fortress/sboms")).toMatchObject([
        {
          sbom_id: "urn:uuid:1",
          spec_version: "1.6",
          revision: 2,
          target: "org.demo/app",
          target_version: "1.0",
          created_at: "2026-01-05T08:00:00.000Z",
          components: 3,
          services: 1,
          dependencies: 2,
          vulnerabilities: 1,
          details: { "x-more": { kept: true } },
        },
      ]);
      expect(rows).toContainEqual({ kind: "tool", name: "maker", version: "9" });
    },
  );

  test.each([1, 100_000])(
    "an XML document becomes the same, cut at %i bytes",
    async (pieceBytes) => {
      expect(cyclonedx.detect((await sourceOf(xml)).head)).toBe(0.98);
      const rows = await importAll(cyclonedx, xml, { pieceBytes });
      expectValid(rows);
      expect(fieldsOf(rows, "fortress/components")).toMatchObject([
        {
          target: "org.demo/app",
          component: "pkg:npm/lib@1",
          supplier: "Acme",
          licences: ["MIT", "MIT OR Apache-2.0"],
          details: {
            description: "a < b & c",
            hashes: [{ alg: "SHA-1", content: "00" }],
            properties: [{ name: "p", value: "v" }],
            pedigree: { ancestors: [{ type: "library", name: "old" }] },
          },
        },
        { component: "g/inner", parent: "pkg:npm/lib@1" },
        { component: "unnamed", kind: "application" },
      ]);
      expect(fieldsOf(rows, "fortress/component_dependencies")).toEqual([
        { target: "org.demo/app", component: "root", depends_on: ["pkg:npm/lib@1"] },
        { target: "org.demo/app", component: "g/inner" },
      ]);
      expect(fieldsOf(rows, "fortress/services")).toMatchObject([
        { service: "api", endpoints: ["https://x"], authenticated: true },
      ]);
      expect(fieldsOf(rows, "fortress/vulnerabilities")).toMatchObject([
        { vulnerability_id: "CVE-2020-1", component: "pkg:npm/lib@1", severity: "low", score: 4.3 },
        {
          vulnerability_id: "CVE-2026-0001",
          component: "pkg:npm/lib@1",
          score: 7.5,
          cwe_ids: ["CWE-79"],
        },
      ]);
      expect(fieldsOf(rows, "fortress/sboms")).toMatchObject([
        { sbom_id: "urn:uuid:1", spec_version: "1.6", revision: 2, components: 3 },
      ]);
      expect(rows).toContainEqual({ kind: "tool", name: "maker", version: "9" });
    },
  );

  test("a document with its members sorted waits for its metadata", async () => {
    const { components, metadata, bomFormat, specVersion } = json;
    const rows = await importAll(
      cyclonedx,
      JSON.stringify({ components, metadata, $schema: "x", bomFormat, specVersion }),
    );
    expect(fieldsOf(rows, "fortress/components")).toHaveLength(3);
    for (const one of fieldsOf(rows, "fortress/components"))
      expect(one["target"]).toBe("org.demo/app");
  });

  test("a document that names no target is about itself, unless the user names one", async () => {
    const plain = { bomFormat: "CycloneDX", specVersion: "1.4", components: [{ name: "x" }] };
    const target = async (document: unknown, labels: Record<string, string>): Promise<unknown> =>
      fieldsOf(
        await importAll(cyclonedx, JSON.stringify(document), { labels }),
        "fortress/components",
      )[0]?.["target"];
    expect(await target(plain, {})).toBe(`sha256:${"ab".repeat(32)}`);
    expect(await target({ serialNumber: 1000000, ...plain }, {})).toBe("1000000");
    expect(await target(plain, { target: "shop" })).toBe("shop");
  });

  test("a document of another format is refused, whatever its order", async () => {
    for (const text of [
      '{"bomFormat":"AnotherFormat","specVersion":"1.2","components":[]}',
      '{"components":[{"name":"x","purl":"y"}],"bomFormat":"CDX"}',
      '{"components":[]}',
    ]) {
      await expect(importAll(cyclonedx, text)).rejects.toMatchObject({
        code: "malformed",
        at: "/bomFormat",
      });
    }
    expect(cyclonedx.detect((await sourceOf('{"bomFormat":"CDX"}')).head)).toBe(0);
  });

  test.each([
    ["<bom/>", "line 1, column 7"],
    ['<bom xmlns="http://cyclonedx.org/schema/bom/1.4"><components>', "line 1, column 62"],
    ['<bom xmlns="http://cyclonedx.org/schema/bom/1.4"></components>', "line 1, column 63"],
    [
      '<!DOCTYPE bom [<!ENTITY a "b">]><bom xmlns="http://cyclonedx.org/schema/bom/1.4"/>',
      "line 1, column 33",
    ],
    [
      '<bom xmlns="http://cyclonedx.org/schema/bom/1.4">\n<version>&x;</version></bom>',
      "line 2, column 13",
    ],
  ])("%j is malformed at its place", async (text, at) => {
    await expect(importAll(cyclonedx, text)).rejects.toMatchObject({ code: "malformed", at });
  });

  test("XML that nests too deep is refused", async () => {
    const deep = `<bom xmlns="http://cyclonedx.org/schema/bom/1.4"><x>${"<a>".repeat(300)}`;
    await expect(importAll(cyclonedx, deep)).rejects.toMatchObject({ code: "limit" });
  });

  test("a list that is none, and an element that is no object, are refused", async () => {
    const head = '{"bomFormat":"CycloneDX","specVersion":"1.4",';
    await expect(importAll(cyclonedx, `${head}"components":{"a":1}}`)).rejects.toMatchObject({
      code: "malformed",
      at: "/components",
    });
    await expect(importAll(cyclonedx, `${head}"components":[1]}`)).rejects.toMatchObject({
      code: "malformed",
      at: "/components/0",
    });
    expect(
      fieldsOf(await importAll(cyclonedx, `${head}"components":null}`), "fortress/sboms"),
    ).toHaveLength(1);
  });
});
