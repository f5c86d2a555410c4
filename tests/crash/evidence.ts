import type { Custody } from "@custody/core/custody";
import type { Scope } from "@custody/stores/scope";

/** The tenant that crash tests write in. */
export const scope: Scope = {
  tenant: "acme",
  actor: "user:test",
  deadline: Number.POSITIVE_INFINITY,
};

/** The type of the records that crash tests write; it is held in every role. */
export const EVIDENCE = "redteam/session_evidence";

/** How many records each run of the program adds that is killed while it makes backups. */
export const RECORDS_PER_ROUND = 10;

/** The id of a numbered record. */
export function evidenceId(number: number): string {
  return `r${String(number).padStart(7, "0")}`;
}

/** A numbered record with so many characters of answer. */
function evidence(number: number, size: number): { readonly fields: Record<string, unknown> } {
  return {
    fields: {
      id: evidenceId(number),
      session_id: "s",
      observed_at: "2026-03-04T05:06:07.000Z",
      model: "aurora",
      probe: `p.${number % 7}`,
      scores: [{ scorer: "refusal", type: "true_false", value: number % 2 === 0 }],
      vulnerability_ids: [`V-${number % 5}`],
      labels: {},
      converters: [],
      latency_ms: number % 100,
      tokens: 10,
      prompt: { turns: [{ role: "user", content: `please number ${number}` }] },
      response: { content: "x".repeat(size) },
    },
  };
}

/** Numbered records one after another. */
export function manyEvidence(
  from: number,
  count: number,
  size: number,
): readonly { readonly fields: Record<string, unknown> }[] {
  return Array.from({ length: count }, (_, index) => evidence(from + index, size));
}

/** How many records each role tells of, and the five vulnerabilities that the graph has of them. */
export async function countsByRole(custody: Custody): Promise<Record<string, number>> {
  const after = (await custody.status(scope)).entries;
  const { total } = await custody.search(scope, EVIDENCE, { query: "please", limit: 1, after });
  const series = await custody.series(scope, EVIDENCE, {
    ...DAY,
    measurement: "session_evidence",
    values: { n: { field: "tokens", fn: "count" } },
    after,
  });
  const table = await custody.table(scope, "redteam/session_summaries", { limit: 10, after });
  const sql = await custody.sql(scope, "SELECT count(*)::INT FROM redteam.session_evidence", {
    after,
  });
  const graph = await custody.graph.query(scope, {
    statement: "MATCH (v:Vulnerability) RETURN count(*)",
    rowsMax: 1,
    timeMs: 10_000,
    after,
  });
  return {
    document: (await custody.count(scope, EVIDENCE, { after })).count,
    search: total,
    series: series.rows.reduce((sum, { values }) => sum + Number(values["n"] ?? 0), 0),
    relational: table.rows.reduce((sum, row) => sum + Number(row["attempts"]), 0),
    analytics: Number(sql.rows[0]?.[0]),
    graph: Number(graph.rows[0]?.[0]),
  };
}

const DAY = {
  from: Date.parse("2026-03-04T00:00:00Z"),
  to: Date.parse("2026-03-05T00:00:00Z"),
  bucketMs: 86_400_000,
};
