import type { SummaryDeclaration } from "@custody/contract/summary";
import type { RelationalPlacement } from "@custody/contract/placement";

import type { Collection } from "../projected-store.ts";
import type { ProjectionCase } from "../testing/conformance-projection.ts";
import { tableContent } from "./content.ts";
import type { TablePlacement } from "./port.ts";

/** The record type of the relational suite. */
export const ATTEMPT = "redteam/attempt";

/** A column's name that would be syntax, were it not quoted. */
export const HOSTILE_COLUMN = `x" TEXT); DROP TABLE y; --`;

const ATTEMPT_TABLE: RelationalPlacement = {
  table: "attempt",
  columns: {
    model: { type: "text", from: "model" },
    tokens: { type: "integer", from: "tokens" },
    harm: { type: "real", from: "harm" },
    refused: { type: "boolean", from: "refused" },
    at: { type: "timestamp", from: "at" },
    labels: { type: "json", from: "labels" },
    findings: { type: "text[]", from: "findings" },
    embedding: { type: "vector", from: "embedding" },
    select: { type: "text", from: "select" },
    [HOSTILE_COLUMN]: { type: "text", from: "hostile" },
  },
  indexes: [["model", "at"], [HOSTILE_COLUMN]],
  unique: [["model", "tokens"]],
};

/** A table of attempts. */
export const ATTEMPTS: Collection<TablePlacement> = {
  name: ATTEMPT,
  generation: 1,
  placements: { [ATTEMPT]: { table: ATTEMPT_TABLE } },
};

/** What the promises of every projection are tried with in a table. */
export const ATTEMPT_CASE: ProjectionCase<TablePlacement> = {
  collection: ATTEMPTS,
  otherMapping: {
    ...ATTEMPTS,
    placements: {
      [ATTEMPT]: { table: { table: "attempt", columns: { model: { type: "text", from: "id" } } } },
    },
  },
  text: (number, version) =>
    JSON.stringify({
      model: `model-${number % 7} v${version}`,
      tokens: number,
      harm: number / 8,
      refused: number % 2 === 0,
      at: new Date(Date.UTC(2026, 0, 1) + number * 1_000).toISOString(),
      labels: { operator: `o${number % 3}`, version },
      findings: [`f-${number % 3}`, `f-${number % 5}`],
      embedding: [number, 0.5],
    }),
  strangeTexts: [
    `{"model":"\\u0000 before \\u0000 after","hostile":"\\u0000","findings":["\\u0000","a\\u0000b"]}`,
    `{"model":"\\ud800 alone","findings":["\\udfff","x\\ud800"],"labels":{"\\ud800":"\\udc00"}}`,
    `{"model":"日本語 naïve \u{1F600} \u202Eright","labels":{"\u{1F600}":1}}`,
    `{"model":${JSON.stringify("long ".repeat(300_000))}}`,
    `{"labels":${'{"a":['.repeat(200)}1${"]}".repeat(200)},"model":${"[".repeat(200)}${"]".repeat(200)}}`,
    `{"tokens":9007199254740993,"harm":9007199254740993,"labels":{"n":9007199254740993}}`,
    `{"tokens":-9223372036854775808,"labels":[9223372036854775807,9223372036854775808]}`,
    `{"tokens":9223372036854775808,"at":1e300,"harm":1e308}`,
    `{"tokens":-0,"harm":-0,"at":-0,"embedding":[-0,0]}`,
    `{"tokens":1.5,"harm":"1.5","refused":1,"at":"no instant","embedding":["a"],"model":5}`,
    `{"at":1767225600000.75,"tokens":true,"findings":"single","labels":"text"}`,
    `{"labels":{"__proto__":{"x":1},"a.b":1,"$gt":"","constructor":null},"__proto__":{"model":"polluted"}}`,
    `{"model":"'; DROP TABLE x; --","hostile":"\\"; --","select":"' OR '1'='1","findings":["../.."]}`,
    `{"model":null,"tokens":null,"harm":null,"refused":null,"at":null,"labels":null,"findings":null}`,
    `{}`,
  ],
  content: tableContent(ATTEMPT_TABLE),
};

/** A summary whose records may change: every measure that can be taken back. */
export const BY_MODEL: SummaryDeclaration = {
  name: "redteam/attempts_by_model",
  version: 1,
  title: "Attempts by model and whether they were refused",
  of: ATTEMPT,
  key: { model: "model", refused: "refused" },
  measures: {
    attempts: { count: true },
    harmful: { count: true, where: { value: "verdict", isIn: ["harmful", true] } },
    tokens: { sum: "tokens" },
    harm: { sum: "harm" },
    findings: { countBy: { path: "findings[]", take: "all" } },
    harmful_findings: { countBy: "findings", where: { value: "verdict", isIn: ["harmful"] } },
    latency: { histogram: "latency", edges: [100, 1_000] },
  },
};

/** A summary of records that never change, with extremes. */
export const SPANS: SummaryDeclaration = {
  name: "redteam/spans",
  version: 1,
  title: "When each model was first and last tried",
  of: ATTEMPT,
  key: { model: "model" },
  measures: {
    first_at: { min: "at" },
    last_at: { max: "at" },
    least: { min: "harm" },
    most: { max: { path: "scores[]", take: "max" } },
  },
};

/** The collection of a summary. */
export function summaryCollection(summary: SummaryDeclaration): Collection<TablePlacement> {
  return { name: summary.name, generation: 1, placements: { [summary.of]: { summary } } };
}
