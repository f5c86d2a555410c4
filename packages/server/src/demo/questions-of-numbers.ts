import { asText } from "@custody/contract/value-expression";

import { bar } from "../cli/output/chart.ts";
import { formatNumber } from "../cli/output/quantity.ts";
import { numbers } from "./narrator.ts";
import type { Question } from "./questions.ts";

const BAR_WIDTH = 30;
const EVIDENCE = "redteam/session_evidence";

export const analyticsQuestion: Question = {
  role: "analytics",
  text: "Which probes succeeded most, over all targets?",
  ask: async ({ custody, scope, narrator }) => {
    const { rows } = await custody.aggregate(scope, EVIDENCE, {
      groupBy: ["probe"],
      measures: { attempts: { fn: "count" }, hits: { fn: "sum", column: "hits" } },
      orderBy: [
        { name: "hits", direction: "desc" },
        { name: "probe", direction: "asc" },
      ],
      limit: 5,
    });
    const largest = Number(rows[0]?.["hits"] ?? 0);
    await narrator.table(
      ["probe", numbers("attempts"), numbers("hits"), ""],
      rows.map(({ probe, attempts, hits }) => [
        { text: asText(probe ?? ""), style: "name" },
        asText(attempts ?? 0),
        asText(hits ?? 0),
        bar(Number(hits), largest, BAR_WIDTH),
      ]),
    );
    const whole = await custody.aggregate(scope, EVIDENCE, {
      groupBy: [],
      measures: { hits: { fn: "sum", column: "hits" } },
      limit: 1,
    });
    const hits = Number(whole.rows[0]?.["hits"] ?? 0);
    const table = await custody.table(scope, "redteam/session_summaries", { limit: 1_000 });
    const counted = table.rows
      .flatMap((row) => Object.values((row["hits_by_detector"] ?? {}) as Record<string, number>))
      .reduce((sum, one) => sum + one, 0);
    await narrator.check(
      `${formatNumber(hits)} hits in all: the relational store counts ${formatNumber(counted)}`,
      hits > 0 && hits === counted,
    );
    return rows;
  },
};

// Three record types of two packs: what garak found, what the indicators of the STIX bundle say it
// indicates, and the ATT&CK technique that this is.
const STATEMENT = `
  SELECT t.external_id AS technique, t.name, e.probe, count(*) AS prompts
  FROM redteam.session_evidence e
  JOIN fortress.threat_intelligence i ON i.stix_type = 'indicator' AND i.external_id = e.probe
  JOIN fortress.relationships r ON r.source_ref = i.stix_id AND r.relationship_type = 'indicates'
  JOIN fortress.threat_intelligence t ON t.stix_id = r.target_ref
  WHERE e.hits > 0
  GROUP BY ALL ORDER BY prompts DESC, technique, probe`;

export const sqlQuestion: Question = {
  role: "analytics",
  text: "Which ATT&CK techniques do the broken prompts make possible? (SQL over three record types)",
  ask: async ({ custody, scope, narrator }) => {
    await narrator.say(narrator.paint("faint", STATEMENT.slice(1).replaceAll(/^ {2}/gm, "      ")));
    const { columns, rows } = await custody.sql(scope, STATEMENT);
    await narrator.table(
      columns.map(({ name }) => (name === "prompts" ? numbers(name) : name)),
      rows.map((row) => row.map((cell) => asText(cell ?? ""))),
    );
    const [, , probe, prompts] = rows[0] ?? [];
    const { count } = await custody.count(scope, EVIDENCE, {
      filter: { probe, "scores.is_hit": true },
    });
    await narrator.check(
      `${asText(prompts ?? 0)} prompts of ${asText(probe ?? "")}: the document store finds ${count}`,
      count > 0 && Number(prompts) === count,
    );
    return rows;
  },
};
