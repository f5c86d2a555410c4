import type { AnalyticsPlacement } from "@custody/contract/placement";

import type { Collection } from "../projected-store.ts";
import type { ProjectionCase } from "../testing/conformance-projection.ts";
import { compileAnalyticsContent } from "./content.ts";

const SCAN = "audit/scan";

/** Names that would be syntax in SQL, were they not quoted. */
export const HOSTILE_NAMES = [
  `x" FROM t; DROP TABLE t; --`,
  "select",
  "a.b",
  "$gt",
  "__proto__",
  "naïve 日本",
] as const;

const SCAN_PLACEMENT: AnalyticsPlacement = {
  columns: {
    title: { type: "text", from: "title" },
    severity: { type: "text", from: "severity" },
    score: { type: "real", from: "score" },
    hits: { type: "integer", from: "hits" },
    open: { type: "boolean", from: "open" },
    at: { type: "timestamp", from: "at" },
    tags: { type: "text[]", from: { path: "tags[]", take: "all" } },
    embedding: { type: "vector", from: { path: "embedding[]", take: "all" } },
    details: { type: "json", from: "details" },
    turns: { type: "integer", from: { path: "turns[]", take: "count" } },
    ...Object.fromEntries(
      HOSTILE_NAMES.map((name) => [name, { type: "text", from: "hostile" } as const]),
    ),
  },
};

const SCANS: Collection<AnalyticsPlacement> = {
  name: SCAN,
  generation: 1,
  placements: { [SCAN]: SCAN_PLACEMENT },
};

const content = compileAnalyticsContent(SCAN_PLACEMENT);

/** What the promises of every projection are tried with in an analytics store. */
export const SCAN_CASE: ProjectionCase<AnalyticsPlacement> = {
  collection: SCANS,
  otherMapping: {
    ...SCANS,
    placements: { [SCAN]: { columns: { title: { type: "text", from: "title" } } } },
  },
  text: (number, version) =>
    JSON.stringify({
      title: `scan ${number} in version ${version}`,
      severity: ["low", "high"][number % 2],
      score: number / 8,
      hits: number,
      open: number % 2 === 0,
      at: Date.UTC(2026, 0, 1) + number * 1000,
      tags: [`tag-${number % 3}`, "all"],
      embedding: [number, 1, 0.1],
    }),
  strangeTexts: [
    `{"title":"\\u0000 before \\u0000 after","hostile":"\\u0000","tags":["\\u0000","a\\u0000b",""]}`,
    `{"title":"\\ud800 alone","hostile":"\\udfff","tags":["\\ud800","\\ud800x"],"details":"\\ud800"}`,
    `{"title":"日本語 naïve \u{1F600} \u202Eright","severity":"\u{1F600}","tags":["\u{1F600}"]}`,
    `{"title":${JSON.stringify("long ".repeat(300_000))},"hostile":${JSON.stringify("x".repeat(100_000))}}`,
    `{"title":${"[".repeat(200)}"deep"${"]".repeat(200)},"details":${'{"a":'.repeat(100)}1${"}".repeat(100)}}`,
    `{"score":9007199254740993,"hits":9007199254740993,"details":[9007199254740993,1e17,-0]}`,
    `{"hits":9223372036854775807,"score":5e-324,"at":"2026-11-21T10:11:12.345678Z"}`,
    `{"hits":-9223372036854775808,"score":1.7976931348623157e308,"at":-62135596800000}`,
    `{"hits":9223372036854775808,"score":123456789012345678901234567890,"at":8640000000000000}`,
    `{"score":-0,"hits":-0,"at":-0.5,"embedding":[-0,0]}`,
    `{"hits":1.5,"at":8640000000000001,"open":"true","score":"1","embedding":["1"]}`,
    `{"at":"yesterday","embedding":[],"tags":[],"title":""}`,
    `{"embedding":[1e300,-1e300,1e-300,0.1,16777217],"at":1.5}`,
    `{"__proto__":{"title":"polluted"},"constructor":"x","tags":["__proto__"],"a.b":1,"$gt":""}`,
    `{"title":"'; DROP TABLE x; --","hostile":"\\" OR 1=1 --","tags":["') OR ('1'='1","../../etc"]}`,
    `{"title":{"nested":["object",1,true]},"turns":[{"content":5},null,{}],"details":{"__proto__":1}}`,
    `{"open":null,"tags":[null,null],"turns":null,"details":null}`,
    `{}`,
  ],
  content: (fields) => content({ id: "", fields, observedAt: Number.NaN }).content,
};
