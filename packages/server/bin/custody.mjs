#!/usr/bin/env node
// Starts Custody. Plain JavaScript that old versions of Node can read: where the running Node is
// older than Custody needs, the Node that the `node` package brought takes over.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NODE_MAJOR_MIN = 24;
const FORWARDED_SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"];

const root = fileURLToPath(new URL("..", import.meta.url));
const built = join(root, "dist", "cli", "main.js");
const source = join(root, "src", "cli", "main.ts");

const isBuilt = existsSync(built);
const isNodeRecent = majorOf(process.version) >= NODE_MAJOR_MIN;

if (isBuilt && isNodeRecent) {
  silenceExperimentalWarnings();
  await import(pathToFileURL(built).href);
} else if (!isBuilt && !existsSync(source)) {
  refuse("Custody is neither built nor in a checkout: run `npm run build`.");
} else {
  const node = isNodeRecent ? process.execPath : findInstalledNode();
  if (node === undefined) {
    refuse(
      `Custody needs Node ${NODE_MAJOR_MIN} or newer and this is ${process.version}: ` +
        `install it, or add the npm package node@${NODE_MAJOR_MIN}.`,
    );
  } else {
    const flags = isBuilt ? [] : ["--conditions=source"];
    runIn(node, [...flags, "--disable-warning=ExperimentalWarning", isBuilt ? built : source]);
  }
}

/** The path of the binary of the `node` package, if one of a sufficient version is installed. */
function findInstalledNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve("node/package.json");
    const name = process.platform === "win32" ? "node.exe" : "node";
    const binary = join(dirname(manifest), "bin", name);
    const { stdout, status } = spawnSync(binary, ["--version"], { encoding: "utf8" });
    return status === 0 && majorOf(stdout) >= NODE_MAJOR_MIN ? binary : undefined;
  } catch {
    return undefined;
  }
}

function majorOf(version) {
  return Number(/^v(\d+)\./.exec(version)?.[1] ?? 0);
}

/** Hands over to another process and ends as it ends, by the same exit code or signal. */
function runIn(node, args) {
  const child = spawn(node, [...args, ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of FORWARDED_SIGNALS) {
    // A terminal sends Ctrl-C to both processes; sent on, the child would see it twice.
    process.on(signal, () =>
      signal === "SIGINT" && process.stdin.isTTY ? undefined : child.kill(signal),
    );
  }
  child.once("error", (error) => refuse(`Custody could not start ${node}: ${error.message}`));
  child.once("exit", (code, signal) => {
    process.exitCode = signal === null ? code : 128 + constants.signals[signal];
  });
}

/** node:sqlite announces itself as experimental on every start; other warnings still print. */
function silenceExperimentalWarnings() {
  const emit = process.emitWarning.bind(process);
  process.emitWarning = (warning, ...rest) => {
    const [detail] = rest;
    const type = typeof detail === "object" ? detail?.type : detail;
    if (type !== "ExperimentalWarning" && warning?.name !== "ExperimentalWarning")
      emit(warning, ...rest);
  };
}

function refuse(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exitCode = 1;
}
