import type { SearchPlacement } from "@custody/contract/placement";

import type { Collection } from "../projected-store.ts";
import type { ProjectionCase } from "../testing/conformance-projection.ts";
import { searchContent } from "./content.ts";

/** The record type of the search suite. */
export const FINDING = "redteam/finding";

/** Names that would be syntax in SQL or in a search, were they not quoted. */
export const HOSTILE_NAMES = [`x" OR 1=1; --`, "rank", "rowid", "a.b", "$gt", "__proto__"] as const;

const FINDING_PLACEMENT: SearchPlacement = {
  fields: {
    title: { from: "title", weight: 4 },
    body: { from: { path: "turns[].content", take: "join" } },
    [HOSTILE_NAMES[0]]: { from: "hostile" },
    rank: { from: "rank" },
  },
  filters: {
    severity: "severity",
    tags: "tags",
    score: "score",
    open: "open",
    [HOSTILE_NAMES[0]]: "hostile",
  },
};

/** A search collection of findings. */
export const FINDINGS: Collection<SearchPlacement> = {
  name: FINDING,
  generation: 1,
  placements: { [FINDING]: FINDING_PLACEMENT },
};

/** What the promises of every projection are tried with in a search. */
export const FINDING_CASE: ProjectionCase<SearchPlacement> = {
  collection: FINDINGS,
  otherMapping: {
    ...FINDINGS,
    placements: { [FINDING]: { fields: { title: { from: "title" } } } },
  },
  text: (number, version) =>
    JSON.stringify({
      title: `finding ${number} in version ${version}`,
      turns: [{ content: `word${number % 97} answers` }, { content: "and a second turn" }],
      severity: ["low", "high"][number % 2],
      tags: [`tag-${number % 3}`, `tag-${number % 5}`, "all"],
      score: number / 8,
      open: number % 2 === 0,
    }),
  strangeTexts: [
    `{"title":"\\u0000 before \\u0000 after","hostile":"\\u0000","tags":["\\u0000","a\\u0000b"]}`,
    `{"title":"\\ud800 alone","hostile":"\\udfff","tags":["\\ud800","\\ud800x"]}`,
    `{"title":"日本語 naïve Ärger \u{1F600} \u202Eright","severity":"\u{1F600}"}`,
    `{"title":${JSON.stringify("long ".repeat(300_000))},"hostile":${JSON.stringify("x".repeat(100_000))}}`,
    `{"title":${JSON.stringify("unbroken".repeat(50_000))}}`,
    `{"title":${"[".repeat(200)}"deep"${"]".repeat(200)},"severity":${'{"a":'.repeat(100)}1${"}".repeat(100)}}`,
    `{"score":9007199254740993,"tags":[9007199254740993,9007199254740992,1e17,100000000000000000]}`,
    `{"score":-0,"tags":[-0,0,"0",false]}`,
    `{"score":123456789012345678901234567890,"open":null,"tags":[null,null]}`,
    `{"__proto__":{"title":"polluted"},"constructor":"x","tags":["__proto__"],"a.b":1,"$gt":""}`,
    `{"title":"'; DROP TABLE x; --","hostile":"\\" OR 1=1 --","tags":["') OR ('1'='1","../../etc"]}`,
    `{"title":{"nested":["object",1,true]},"turns":[{"content":5},{"content":null},{}]}`,
    `{}`,
  ],
  content: searchContent(FINDING_PLACEMENT),
};
