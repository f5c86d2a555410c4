import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { initCustody, openCustody } from "../compose.ts";
import { faultOf } from "../cli/fault.ts";
import { formatDuration } from "../cli/output/quantity.ts";
import { processTerminal } from "../cli/terminal.ts";
import { prepareDirectory, shownPath } from "./demo-directory.ts";
import type { DemoDirectory } from "./demo-directory.ts";
import { embeddedEngines, exportsOf, serversOf } from "./demo-engines.ts";
import type { DemoEngines } from "./demo-engines.ts";
import { importEvidence } from "./import-evidence.ts";
import type { Demo } from "./import-evidence.ts";
import { createNarrator } from "./narrator.ts";
import type { Narrator } from "./narrator.ts";
import { askBlobStore, askCache, askQueue, askStream } from "./other-stores.ts";
import { pickRecord, proveRecord, showTrace } from "./proving.ts";
import { QUESTIONS } from "./questions.ts";
import { replaceStores } from "./replacing.ts";
import { canonical, deleteStores, rebuildStores } from "./taking-away.ts";
import { alterOneByte, alterOneObject } from "./tampering.ts";

const scope = { tenant: "default", actor: "user:demo", deadline: Infinity };

/** Tells the whole story in a directory of its own. */
async function tell(
  directory: DemoDirectory,
  demoEngines: DemoEngines,
  narrator: Narrator,
): Promise<void> {
  const { data: dataDirectory, keyFile } = directory;
  const { engines, replaced } = demoEngines;
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
    await using custody = await openCustody({ dataDirectory, keyFile, engines });
    const demo = { custody, scope, narrator };
    if (demoEngines.areServers) await showServers(demo);
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
  if (demoEngines.areServers) await replaceStores(demoEngines, { narrator });
  else await deleteStores(directory, { narrator });
  {
    await using custody = await openCustody({ dataDirectory, keyFile, engines: replaced });
    await rebuildStores({ custody, scope, narrator }, answers);
  }
  await narrator.chapter("Somebody alters the evidence");
  if (demoEngines.areServers) await alterOneObject({ directory, replaced, scope, narrator });
  else await alterOneByte(directory, { scope, narrator });
}

async function showServers({ custody, narrator }: Demo): Promise<void> {
  await narrator.say("\n  Every role is played by a server:");
  const engines = await custody.engines();
  await narrator.table(
    ["role", "server", "version", ""],
    engines.map(({ role, product, version = "", trouble = "" }) => [
      { text: role, style: "name" },
      product,
      version,
      { text: trouble, style: "bad" },
    ]),
  );
  await narrator.check(
    "each of the ten answers",
    engines.length === 10 && engines.every(({ version }) => version !== undefined),
  );
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

async function sayGoodbye(
  directory: DemoDirectory,
  { areServers, isKept, replaced }: DemoEngines,
  narrator: Narrator,
): Promise<void> {
  if (areServers && !isKept) {
    await narrator.say(
      "\nWhat it kept on the servers is dropped now. With --keep it stays, and this prints the variables\n" +
        "CUSTODY_<ROLE>_URL by which `npx custody` goes on with it.",
    );
    return;
  }
  await narrator.say(
    [
      "\nGo on with it:",
      `  export CUSTODY_DATA=${shownPath(directory.data)} CUSTODY_KEY_FILE=${shownPath(directory.keyFile)}`,
      ...exportsOf(replaced),
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
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      engines: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
    },
  });
  const demoEngines = values.engines ? serversOf(terminal, values.keep) : embeddedEngines;
  const directory = await prepareDirectory(resolve(positionals[0] ?? "custody-demo"));
  await tell(directory, demoEngines, narrator);
  const { held, broken } = narrator.checks();
  await narrator.say(
    `\n${held} of ${held + broken} checks held, in ${formatDuration(performance.now() - startedAt)}.`,
  );
  if (broken === 0) await sayGoodbye(directory, demoEngines, narrator);
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
