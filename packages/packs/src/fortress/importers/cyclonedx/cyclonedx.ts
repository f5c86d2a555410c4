import type { Importer } from "@custody/contract/importer";

import { CYCLONEDX_PATHS, CycloneDxReader } from "./cyclonedx-reader.ts";
import { readXml } from "./xml-document.ts";

const XML = /<(?:\w+:)?bom\b[^>]*\sxmlns(?::\w+)?\s*=\s*["']http:\/\/cyclonedx\.org\/schema\/bom\//;

/** Reads CycloneDX bills of materials, JSON and XML, of every version to 1.7. */
export const cyclonedx: Importer = {
  name: "cyclonedx",
  version: 1,
  title: "CycloneDX bill of materials as JSON or XML, versions 1.0 to 1.7",
  types: [
    "fortress/sboms",
    "fortress/components",
    "fortress/services",
    "fortress/component_dependencies",
    "fortress/vulnerabilities",
  ],

  detect({ text }) {
    const begin = text.trimStart();
    if (begin.startsWith("<")) return XML.test(text) ? 0.98 : 0;
    if (!begin.startsWith("{")) return 0;
    if (/"bomFormat"\s*:\s*"CycloneDX"/.test(text)) return 0.98;
    if (/"bomFormat"\s*:/.test(text)) return 0;
    if (/"\$schema"\s*:\s*"https?:\/\/cyclonedx\.org\//.test(text)) return 0.9;
    // Some libraries write the components first and the format last.
    const isComponents = /^\{\s*"components"\s*:\s*\[\s*\{/.test(begin);
    return isComponents && /"(?:bom-ref|purl)"\s*:/.test(text) ? 0.5 : 0;
  },

  async *read(source, context) {
    const reader = new CycloneDxReader(context);
    const isXml = source.head.text.trimStart().startsWith("<");
    const parts = isXml ? readXml(source.text()) : source.json(CYCLONEDX_PATHS);
    for await (const part of parts) yield* reader.take(part);
    yield* reader.end();
  },
};
