import type { Explanation } from "@custody/core/reports";

import { visibleText } from "../output/visible-text.ts";
import type { Session } from "../session.ts";

/** The option of commands that ask a store. */
export const EXPLAIN: readonly [flag: string, about: string] = [
  "--explain",
  "print how the engine would answer, and do not ask it",
];

/** Prints an engine's plan. */
export async function showPlan(
  { show, paint }: Session,
  asking: Promise<Explanation>,
): Promise<void> {
  const explanation = await asking;
  const { role, engine, collection, generation, plan } = explanation;
  await show(explanation, () => {
    const place = collection === undefined ? "" : `: ${collection}, generation ${generation ?? 1}`;
    const title = paint("title", visibleText(`${role} on ${engine}${place}`));
    const lines = plan.length === 0 ? ["nothing is held there yet"] : plan;
    return `${title}\n${lines.map((line) => `  ${visibleText(line)}\n`).join("")}`;
  });
}
