import type { Pack } from "@custody/contract/importer";

import { git } from "./importers/git/git.ts";
import { commitFiles } from "./types/commit-files.ts";
import { committers } from "./types/committers.ts";
import { commits } from "./types/commits.ts";

/** Audit of how software is made: who changed what in which repository, and when. */
export const auditPack: Pack = {
  name: "audit",
  types: [commits, committers, commitFiles],
  importers: [git],
  summaries: [],
};
