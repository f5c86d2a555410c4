import { resolve } from "node:path";

import { initCustody, openCustody } from "../compose.ts";
import { faultOf } from "../cli/fault.ts";
import { formatDuration } from "../cli/output/quantity.ts";
import { processTerminal } from "../cli/terminal.ts";
import { prepareDirectory, shownPath } from "./demo-directory.ts";
import type { DemoDirectory } from "./demo-directory.ts";
import { importEvidence } from "./import-evidence.ts";
import type { Demo } from "./import-evidence.ts";
import { createNarrator } from "./narrator.ts";
import type { Narrator } from "./narrator.ts";
import { askBlobStore, askCache, askQueue, askStream } from "./other-stores.ts";
import { pickRecord, proveRecord, showTrace } from "./proving.ts";
import { QUESTIONS } from "./questions.ts";
import { canonical, deleteStores, rebuildStores } from "./taking-away.ts";
import { alterOneByte } from "./tampering.ts";

const scope = { tenant: "default", actor: "user:demo", deadline: Infinity };

/** Tells the whole story in a directory of its own. */
async function tell(directory: DemoDirectory, narrator: Narrator): Promise<void> {
  const { data: dataDirectory, keyFile } = directory;
  await narrator.say(
    "Custody keeps security evidence. Every record is committed once, to a journal whose entries are chained\n" +
      "by hash, and is then read into ten kinds of store. This shows what that is good for.",
  );
  await narrator.chapter("A place for the evidence");
  const { recoveryKey } = await initCustody({ dataDirectory, keyFile });
  await narrator.say(`  data directory  ${shownPath(dataDirectory)}`);
  await narrator.say(
    `  key file        ${shownPath(keyFile)} (never inside of the data directory)`,
  );
  await narrator.say(`  recovery key    ${recoveryKey} (to be written down; nobody keeps it)`);

  const answers = new Map<string, string>();
  {
    await using custody = await openCustody({ dataDirectory, keyFile });
    const demo = { custody, scope, narrator };
    await narrator.chapter(
      "Evidence goes in: real output of real tools, and the history of this repository",
    );
    await importEvidence(demo, directory.gitLog);
    await narrator.chapter("Ten stores answer");
    await askEverything(demo, answers);
    await narrator.chapter("Where is one record, and what proves it? (`custody trace`)");
    const record = await pickRecord(demo);
    await showTrace(demo, record);
    await narrator.chapter("The proof leaves the house (`custody proof`, `custody verify-proof`)");
    await proveRecord(demo, record, directory);
  }
  await narrator.chapter("The stores are lost");
  await deleteStores(directory, { narrator });
  {
    await using custody = await openCustody({ dataDirectory, keyFile });
    await rebuildStores({ custody, scope, narrator }, answers);
  }
  await narrator.chapter("Somebody alters the evidence");
  await alterOneByte(directory, { scope, narrator });
}

async function askEverything(demo: Demo, answers: Map<string, string>): Promise<void> {
  for (const { role, text, ask } of QUESTIONS) {
    await demo.narrator.say(`\n  ${demo.narrator.paint("name", role)}: ${text}`);
    answers.set(text, canonical(await ask(demo)));
  }
  await askBlobStore(demo);
  await askStream(demo);
  await askQueue(demo);
  await askCache(demo);
}

async function sayGoodbye(directory: DemoDirectory, narrator: Narrator): Promise<void> {
  await narrator.say(
    [
      "\nGo on with it:",
      `  export CUSTODY_DATA=${shownPath(directory.data)} CUSTODY_KEY_FILE=${shownPath(directory.keyFile)}`,
      "  npx custody status",
      "  npx custody find redteam/session_evidence --where probe=web_injection.TaskXSS --limit 3",
      "  npx custody search redteam/session_evidence 'ignore instructions' --facet model",
      "  npx custody sql 'SELECT severity, count(*) AS n FROM fortress.misconfigurations GROUP BY ALL'",
      "  npx custody verify",
    ].join("\n"),
  );
}

const terminal = processTerminal();
const narrator = createNarrator(terminal);
const startedAt = performance.now();
try {
  const directory = await prepareDirectory(resolve(process.argv[2] ?? "custody-demo"));
  await tell(directory, narrator);
  const { held, broken } = narrator.checks();
  await narrator.say(
    `\n${held} of ${held + broken} checks held, in ${formatDuration(performance.now() - startedAt)}.`,
  );
  if (broken === 0) await sayGoodbye(directory, narrator);
  process.exitCode = broken === 0 ? 0 : 1;
} catch (error) {
  const fault = faultOf(error);
  const message =
    fault.code === "internal" && error instanceof Error ? error.message : fault.message;
  terminal.note(`custody demo: ${message}\n`);
  if (process.env["CUSTODY_DEBUG"] === "1" && error instanceof Error) {
    terminal.note(`${error.stack ?? ""}\n`);
  }
  process.exitCode = 1;
}
