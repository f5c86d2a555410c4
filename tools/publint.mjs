// Checks every package as npm would publish it. Run after `npm run build`.
import { readdirSync } from "node:fs";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const packages = new URL("../packages/", import.meta.url);
let problems = 0;
for (const name of readdirSync(packages)) {
  const pkgDir = new URL(name, packages).pathname;
  const { messages, pkg } = await publint({ pkgDir, strict: true });
  for (const message of messages) console.log(`${name}: ${formatMessage(message, pkg)}`);
  problems += messages.length;
  console.log(`${name}: ${messages.length === 0 ? "ready to publish" : "has problems"}`);
}
process.exitCode = problems === 0 ? 0 : 1;
