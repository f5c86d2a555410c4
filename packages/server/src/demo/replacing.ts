import type { DemoEngines } from "./demo-engines.ts";
import type { Demo } from "./import-evidence.ts";

/** Says that new, empty stores take the place of those that the servers have lost. */
export async function replaceStores(
  { engines, replaced }: DemoEngines,
  { narrator }: Pick<Demo, "narrator">,
): Promise<void> {
  const roles = (Object.keys(replaced) as (keyof typeof replaced)[]).filter(
    (role) => replaced[role] !== engines[role],
  );
  await narrator.say(
    `  With Custody closed, a new, empty store takes the place of each lost one: ${roles.join(", ")}.\n` +
      "  The relational database is the old one, as it keeps the journal too; its tables are built anew.",
  );
}
