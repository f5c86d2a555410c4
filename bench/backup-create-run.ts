// A child process: one full backup by a process that does nothing else, for its memory.
import { openCustody } from "@custody/server/compose";

import { backUp, placeIn, timed } from "./backup-installation.ts";
import { answer, backupRequest } from "./run-request.ts";

const { directory, repository } = backupRequest();
const custody = await openCustody(placeIn(directory));
const openedBytes = process.memoryUsage.rss();
const made = await timed(() => backUp(custody, repository, "full"));
process.send?.({ phase: "backed up", seconds: made.seconds });
await custody[Symbol.asyncDispose]();
answer({ openedBytes, seconds: made.seconds, ...made.answer.written });
