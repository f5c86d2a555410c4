import type { Collection } from "../projected-store.ts";
import type { ProjectionCase } from "../testing/conformance-projection.ts";
import { compileSeriesContent } from "./content.ts";
import type { SeriesPlacements } from "./port.ts";

const SAMPLE = "audit/sample";

/** Names that would be syntax in SQL or in a line protocol, were they not quoted. */
export const HOSTILE_NAMES = [`x" OR 1=1; --`, "select", "a,b=c d", "$gt", "__proto__"] as const;

const PLACEMENTS: SeriesPlacements = [
  {
    measurement: "latency",
    at: "at",
    tags: { model: "model", host: "host", [HOSTILE_NAMES[0]]: "hostile" },
    fields: { ms: "ms", ok: "ok", [HOSTILE_NAMES[1]]: "ms" },
  },
  {
    measurement: HOSTILE_NAMES[2],
    at: "at",
    tags: { model: "model", ...Object.fromEntries([[HOSTILE_NAMES[4], "hostile"]]) },
    fields: { size: "size", score: { path: "scores[].value", take: "max" } },
  },
];

/** A series collection of samples with two measurements. */
export const SAMPLES: Collection<SeriesPlacements> = {
  name: SAMPLE,
  generation: 1,
  placements: { [SAMPLE]: PLACEMENTS },
};

const content = compileSeriesContent(PLACEMENTS);

/** What the promises of every projection are tried with in a series store. */
export const SAMPLE_CASE: ProjectionCase<SeriesPlacements> = {
  collection: SAMPLES,
  otherMapping: {
    ...SAMPLES,
    placements: { [SAMPLE]: [{ measurement: "other", tags: {}, fields: { ms: "ms" } }] },
  },
  text: (number, version) =>
    JSON.stringify({
      at: Date.UTC(2026, 0, 1) + number * 1_000,
      model: ["a", "b"][number % 2],
      host: `host-${number % 7}`,
      ms: number / 8 + version,
      ok: number % 3 === 0,
      ...(number % 5 === 0 ? {} : { size: number, scores: [{ value: 1 }, { value: number }] }),
    }),
  strangeTexts: [
    `{"at":0,"ms":1,"model":"\\u0000","host":"a\\u0000b","hostile":"\\u0000"}`,
    `{"at":0,"ms":1,"model":"\\ud800","hostile":"\\udfffx"}`,
    `{"at":0,"ms":1,"model":"日本語 \u{1F600}","hostile":"","host":" "}`,
    `{"at":0,"ms":1,"model":${JSON.stringify("long ".repeat(100_000))}}`,
    `{"at":0,"ms":1,"model":${'{"a":'.repeat(100)}1${"}".repeat(100)},"host":[1,[2,null]]}`,
    `{"at":"2026-11-21T10:11:12.345678Z","ms":9007199254740993,"size":-9223372036854775808}`,
    `{"at":-62135596800000.5,"ms":-0,"size":5e-324,"scores":[{"value":1.7976931348623157e308}]}`,
    `{"at":8640000000000000,"ms":true,"ok":false,"size":"12"}`,
    `{"at":0,"ms":1,"hostile":"'; DROP TABLE x; --","model":"a,b=c d\\n","host":"../../etc"}`,
    `{"at":0,"ms":1,"__proto__":{"host":"polluted"},"constructor":"x","hostile":"__proto__"}`,
    `{"at":0,"size":1,"model":null}`,
    `{"at":0,"ms":123456789012345678901234567890,"model":9007199254740993}`,
  ],
  content: (fields) => content({ id: "", fields, observedAt: Number.NaN })?.content ?? "",
};
