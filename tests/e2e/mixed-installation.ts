import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Custody } from "@custody/core/custody";
import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";
import { initCustody, openCustody } from "@custody/server/compose";
import { importEvidence } from "@custody/server/demo/import-evidence";
import type { Demo } from "@custody/server/demo/import-evidence";
import { QUESTIONS } from "@custody/server/demo/questions";

import type { InstallationUrls } from "../../testbed/role-urls.ts";
import type { OnEnd } from "./custody-process.ts";

/** Whom the examples are imported and asked for. */
export const scope: Demo["scope"] = {
  tenant: "default",
  actor: "user:demo",
  deadline: Number.POSITIVE_INFINITY,
};

/** An installation that is opened in this process, on engines that may change between openings. */
export interface MixedInstallation {
  readonly directory: string;
  readonly data: string;
  readonly open: (engines: InstallationUrls) => Promise<Custody>;
}

/** Makes a data directory that is removed in the end. */
export async function makeMixedInstallation(onEnd: OnEnd): Promise<MixedInstallation> {
  const directory = await mkdtemp(join(tmpdir(), "custody-mix-"));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const place = {
    dataDirectory: join(directory, "data"),
    keyFile: join(directory, "custody.key"),
  };
  await initCustody(place);
  return {
    directory,
    data: place.dataDirectory,
    open: (engines) => openCustody({ ...place, engines }),
  };
}

/** Imports the examples as the demonstration does; answers the checks that did not hold. */
export async function importExamples(
  custody: Custody,
  { directory }: MixedInstallation,
): Promise<readonly string[]> {
  const { narrator, broken } = listener();
  await importEvidence({ custody, scope, narrator }, join(directory, "history.gitlog"));
  return broken;
}

/** What the demonstration's questions are answered, by role and question. */
export type Answers = Readonly<Record<string, string>>;

/** Asks the demonstration's questions; answers as well the checks of theirs that did not hold. */
export async function askQuestions(
  custody: Custody,
): Promise<{ readonly answers: Answers; readonly broken: readonly string[] }> {
  const { narrator, broken } = listener();
  const answers: Record<string, string> = {};
  for (const { role, text, ask } of QUESTIONS) {
    answers[`${role}: ${text}`] = comparable(await ask({ custody, scope, narrator }));
  }
  return { answers, broken };
}

/**
 * An answer as text, without what each engine has of its own: how it ranks (`score`), where a page ends
 * (`cursor`, which holds the rank), and how far the journal was read.
 */
function comparable(answer: unknown): string {
  return JSON.stringify(answer, (name, value: unknown) => {
    if (name === "checkpoint" || name === "score" || name === "cursor") return undefined;
    return typeof value === "bigint" ? value.toString() : value;
  });
}

/** A narrator that keeps what is not true, and says nothing. */
function listener(): { readonly narrator: Demo["narrator"]; readonly broken: readonly string[] } {
  const broken: string[] = [];
  const say = async (): Promise<void> => undefined;
  const narrator: Demo["narrator"] = {
    paint: (_style, text) => text,
    width: 110,
    chapter: say,
    say,
    table: say,
    check: async (sentence, holds) => {
      if (!holds) broken.push(sentence);
    },
    checks: () => ({ held: 0, broken: broken.length }),
  };
  return { narrator, broken };
}

/** What `reconcile` finds: the projections that differ from the journal. */
export async function differences(
  custody: Custody,
  roles: readonly ProjectedRole[] = PROJECTED_ROLES,
): Promise<readonly string[]> {
  const { projections } = await custody.reconcile(scope, { roles });
  return projections
    .filter((one) => one.differences > 0)
    .map((one) => `${one.role} ${one.name}: ${one.differences}`);
}
