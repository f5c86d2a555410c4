// `npm run demo [-- directory]`: the demonstration on embedded engines. With `--engines` every role is
// played by a server; with `--keep` besides, servers and stores stay to go on with.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const FLAGS = ["--conditions=source", "--disable-warning=ExperimentalWarning"];
const DEMO = fileURLToPath(new URL("../packages/server/src/demo/main.ts", import.meta.url));
const args = process.argv.slice(2);

if (process.execArgv.includes(FLAGS[0])) {
  const { demoOnServers } = await import("../testbed/demo-on-servers.ts");
  process.exitCode = await demoOnServers(args);
} else {
  const program = args.includes("--engines") ? fileURLToPath(import.meta.url) : DEMO;
  // A terminal sends its interrupt to both; the child ends by it, and this with the child's code.
  process.on("SIGINT", () => undefined);
  const child = spawn(process.execPath, [...FLAGS, program, ...args], { stdio: "inherit" });
  child.once("close", (code) => {
    process.exitCode = code ?? 1;
  });
}
