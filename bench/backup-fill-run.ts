// A child process: an installation that is to be backed up.
import { makeInstallation, timed } from "./backup-installation.ts";
import { commitAll } from "./commit-all.ts";
import { SCOPE } from "./custody-scope.ts";
import { answer, runRequest } from "./run-request.ts";

const { input, directory } = runRequest();
const custody = await makeInstallation(directory);
const begun = performance.now();
const acknowledged = await timed(() => commitAll(custody, input));
await custody.catchUp(SCOPE);
const seconds = (performance.now() - begun) / 1_000;
await custody[Symbol.asyncDispose]();
answer({ records: acknowledged.answer, acknowledgedSeconds: acknowledged.seconds, seconds });
