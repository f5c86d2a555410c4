import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { PROJECTED_ROLES } from "@custody/core/stores";

import { countOf, formatBytes, formatDuration } from "../cli/output/quantity.ts";
import type { DemoDirectory } from "./demo-directory.ts";
import type { Demo } from "./import-evidence.ts";
import { QUESTIONS } from "./questions.ts";

// LadybugDB may not be deleted and made again under one path by one process; the graph is emptied by
// the rebuild instead, as the other stores are that no longer exist.
const DELETED = PROJECTED_ROLES.filter((role) => role !== "graph");

/** Deletes the files of the query stores; nobody may have the data directory open. */
export async function deleteStores(
  { data }: DemoDirectory,
  { narrator }: Pick<Demo, "narrator">,
): Promise<void> {
  const tenant = join(data, "tenants", "default");
  let bytes = 0;
  const names: string[] = [];
  for (const name of await readdir(tenant)) {
    if (!DELETED.some((role) => name.startsWith(`${role}.`) || name.startsWith(`${role}-`)))
      continue;
    bytes += (await stat(join(tenant, name))).size;
    await rm(join(tenant, name), { recursive: true });
    names.push(name);
  }
  await narrator.say(
    `  Deleted, with Custody closed: ${countOf(names.length, "file")}, ${formatBytes(bytes)}:\n    ${names.join(", ")}`,
  );
}

/** Rebuilds every store from the journal and asks everything again. */
export async function rebuildStores(
  demo: Demo,
  before: ReadonlyMap<string, string>,
): Promise<void> {
  const { custody, scope, narrator } = demo;
  const startedAt = performance.now();
  const built = await custody.rebuild(scope, PROJECTED_ROLES);
  await narrator.say(
    `  \`custody rebuild --all\`: ${countOf(built.length, "projection")} rebuilt from the journal in ${formatDuration(performance.now() - startedAt)}.`,
  );
  const silent = {
    ...demo,
    narrator: { ...narrator, say: nothing, table: nothing, check: nothing },
  };
  let equal = 0;
  for (const question of QUESTIONS) {
    const answer = canonical(await question.ask(silent));
    if (answer === before.get(question.text)) equal += 1;
    else await narrator.say(`  ${question.role}: another answer to "${question.text}"`);
  }
  await narrator.check(
    `all ${QUESTIONS.length} questions asked again: the answers are the same to the letter`,
    equal === QUESTIONS.length,
  );
  const { ok, projections } = await custody.reconcile(scope);
  await narrator.check(
    `reconcile compares ${countOf(projections.length, "projection")} row by row with the journal: no difference`,
    ok,
  );
}

/** An answer as text, without the checkpoint it was given at. */
export function canonical(answer: unknown): string {
  return JSON.stringify(answer, (name, value: unknown) => {
    if (name === "checkpoint" || name === "score") return undefined;
    return typeof value === "bigint" ? value.toString() : value;
  });
}

async function nothing(): Promise<void> {}
