import { asText } from "@custody/contract/value-expression";

import { bar } from "../cli/output/chart.ts";
import { numbers } from "./narrator.ts";
import type { Question } from "./questions.ts";

const BAR_WIDTH = 30;

export const analyticsQuestion: Question = {
  role: "analytics",
  text: "Which probes succeeded most, over all targets?",
  ask: async ({ custody, scope, narrator }) => {
    const { rows } = await custody.aggregate(scope, "redteam/session_evidence", {
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
    await narrator.check(
      "the most successful probe is named first",
      rows.length === 5 && largest > 0,
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
    await narrator.check(`${rows.length} rows from one statement`, rows.length > 0);
    return rows;
  },
};
