// Runs many command lines, one after the other, on an installation that is opened once.
//
// Standard input has them as JSON, an array of arrays of words; standard output gets an array of how each ended.
import { json } from "node:stream/consumers";

import { runCommandLine } from "@custody/server/cli/command-line";
import type { Composition } from "@custody/server/cli/session";
import { processTerminal } from "@custody/server/cli/terminal";
import * as compose from "@custody/server/compose";

const questions = (await json(process.stdin)) as readonly (readonly string[])[];
await using opened = new AsyncDisposableStack();
const own = processTerminal();
const composition = openingOnce(compose);
const ended = [];

for (const words of questions) {
  let [output, errors] = ["", ""];
  const terminal = {
    ...own,
    write: async (bytes: string | Uint8Array): Promise<void> => {
      output += typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("utf8");
    },
    note: (text: string): void => void (errors += text),
  };
  const exitCode = await runCommandLine(words, terminal, composition);
  ended.push({ exitCode, output, errors });
}
process.stdout.write(JSON.stringify(ended));

/** The composition, with one installation that commands do not close. */
function openingOnce(base: Composition): Composition {
  let custody: ReturnType<Composition["openCustody"]> | undefined;
  return {
    ...base,
    openCustody: async (options) => {
      const once = (custody ??= base.openCustody(options).then((made) => opened.use(made)));
      return { ...(await once), [Symbol.asyncDispose]: async () => undefined };
    },
  };
}
