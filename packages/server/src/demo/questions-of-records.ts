import { readFile } from "node:fs/promises";

import { compilePath } from "@custody/contract/field-path";
import { asText } from "@custody/contract/value-expression";
import type { NodeRef } from "@custody/stores/graph/port";

import { examplePath } from "./evidence-files.ts";
import type { Demo } from "./import-evidence.ts";
import { numbers } from "./narrator.ts";
import type { Question } from "./questions.ts";

const RELEASES = ["function helpdesk#release_1", "function helpdesk#release_2"] as const;
const HITS_OF_RELEASE_2 = "garak/helpdesk-release-2.hitlog.jsonl";

export const documentQuestion: Question = {
  role: "document",
  text: "Which prompts broke the second release of the help desk?",
  ask: async (demo) => {
    const { custody, scope, narrator } = demo;
    const filter = { model: RELEASES[1], "scores.is_hit": true };
    const page = await custody.find(scope, "redteam/session_evidence", {
      filter,
      sort: [{ path: "probe", direction: "asc" }],
      limit: 1_000,
    });
    const firstOfProbe = [...Map.groupBy(page.records, ({ fields }) => fields["probe"])].map(
      ([probe, records]) => [
        { text: asText(probe), style: "name" as const },
        `${records.length}`,
        firstText(records[0]?.fields, "prompt.turns[].content"),
        firstText(records[0]?.fields, "response.content"),
      ],
    );
    await narrator.table(["probe", numbers("prompts"), "such as", "answer"], firstOfProbe);
    const expected = await hitAttempts(HITS_OF_RELEASE_2);
    await narrator.check(
      `${page.records.length} prompts did: as many as the tool's own list of hits names (${expected})`,
      page.records.length === expected,
    );
    return page.records;
  },
};

/** Counts the attempts in a list of hits, straight from the file. */
async function hitAttempts(name: string): Promise<number> {
  const text = await readFile(examplePath(name), "utf8");
  const rows = text.split("\n").filter((line) => line !== "");
  return new Set(rows.map((line) => (JSON.parse(line) as { attempt_id: string }).attempt_id)).size;
}

function firstText(fields: unknown, path: string): string {
  return asText(compilePath(path)(fields)[0] ?? "").trim();
}

export const searchQuestion: Question = {
  role: "search",
  text: 'Where does a prompt try to make the model "ignore" what it was told?',
  ask: async ({ custody, scope, narrator }) => {
    const answer = await custody.search(scope, "redteam/session_evidence", {
      query: "ignore instructions",
      facets: ["model"],
      limit: 1,
    });
    for (const hit of answer.hits) {
      const text = Object.values(hit.highlights).find((one) => one.includes("«")) ?? "";
      const shown = text.replaceAll(/\s+/g, " ");
      await narrator.table(
        ["model", "prompt, with what was met between « and »"],
        [[asText(hit.fields["model"] ?? ""), around(shown, "«", 90)]],
      );
    }
    const counts = answer.facets["model"] ?? [];
    const listed = counts.map(({ value, count }) => `${value}: ${count}`).join(", ");
    await narrator.check(
      `${answer.total} prompts and answers hold both words (${listed})`,
      answer.total > 0 && counts.reduce((sum, { count }) => sum + count, 0) === answer.total,
    );
    return answer;
  },
};

function around(text: string, mark: string, width: number): string {
  const from = Math.max(0, text.indexOf(mark) - 20);
  return text.slice(from, from + width);
}

const ACTOR = "Quiet Parcel (invented)";
const WEAKNESS = "CVE-2021-23337";

export const graphQuestion: Question = {
  role: "graph",
  text: `How does the actor "${ACTOR}" get at ${WEAKNESS} of the help desk's lodash?`,
  ask: async (demo) => {
    const { custody, scope, narrator } = demo;
    const from = await threatNode(demo, "ThreatActor", ACTOR);
    const to = await threatNode(demo, "ThreatVulnerability", WEAKNESS);
    const answer = await custody.graph.paths(scope, {
      from,
      to,
      direction: "out",
      types: ["USES", "TARGETS"],
      depthMax: 4,
      limit: 10,
    });
    for (const { nodes, edges } of answer.paths) {
      const names = await Promise.all(nodes.map((node) => nameOf(demo, node)));
      const steps = names.map((name, index) => {
        const edge = edges[index];
        return edge === undefined ? name : `${name} ─${edge.type}→ `;
      });
      await narrator.say(`    ${steps.join("")}`);
    }
    await narrator.check(
      "there is a way from the actor over a technique to the weakness",
      answer.paths.length > 0,
    );
    return answer.paths;
  },
};

async function threatNode(demo: Demo, label: string, name: string): Promise<NodeRef> {
  const { records } = await demo.custody.find(demo.scope, "fortress/threat_intelligence", {
    filter: { name },
    limit: 1,
  });
  return { label, id: asText(records[0]?.fields["stix_id"] ?? name) };
}

async function nameOf({ custody, scope }: Demo, { id }: NodeRef): Promise<string> {
  const { records } = await custody.find(scope, "fortress/threat_intelligence", {
    filter: { stix_id: id },
    limit: 1,
  });
  const { external_id: external, name } = records[0]?.fields ?? {};
  const parts = external === name ? [name] : [external, name];
  return parts
    .filter((part) => part !== undefined)
    .map(asText)
    .join(" ");
}
