import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import type { Engine } from "../../testbed/engine.ts";
import { installEngine, startEngine, statusOf, stopEngine } from "../../testbed/supervisor.ts";

// The smallest server there is: it keeps a count of its starts and answers it over HTTP.
const SERVER = `
import { createServer } from "node:http";
import { readFileSync, writeFileSync } from "node:fs";
const [port, file] = process.argv.slice(2);
let starts = 0;
try { starts = Number(readFileSync(file, "utf8")); } catch {}
writeFileSync(file, String(++starts));
console.log("started", starts);
createServer((_, response) => response.end("start " + starts)).listen(Number(port), "127.0.0.1");
`;

const tiny: Engine = {
  name: "tiny",
  pin: { from: "here", version: "1.2" },
  ports: { main: 31_999 },
  needs: ["node"],
  variable: "CUSTODY_TEST_TINY_URL",
  isProven: true,
  install: async (directory) => await writeFile(join(directory, "server.mjs"), SERVER),
  launch: async ({ dist, run, ports }) => ({
    program: process.execPath,
    args: [join(dist, "server.mjs"), String(ports["main"]), join(run, "starts")],
    probe: async () => await (await fetch(`http://127.0.0.1:${ports["main"]}`)).text(),
  }),
  variables: ({ ports }) => ({ CUSTODY_TEST_TINY_URL: `http://127.0.0.1:${ports["main"]}` }),
};

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "custody-testbed-"));
});
afterEach(async () => {
  await stopEngine(home, tiny);
  await rm(home, { recursive: true, force: true });
});

test("an engine is started once, however often that is asked, also by two at a time", async () => {
  await Promise.all([installEngine(home, tiny), installEngine(home, tiny)]);
  const started = await Promise.all([startEngine(home, tiny, {}), startEngine(home, tiny, {})]);
  expect(started.map(({ version }) => version)).toEqual(["start 1", "start 1"]);
  expect(new Set(started.map(({ wasRunning }) => wasRunning))).toEqual(new Set([false, true]));
  expect(started[0]?.site.ports).toEqual(started[1]?.site.ports);
});

test("an engine that was killed is started again, on its port, with its data", async () => {
  await installEngine(home, tiny);
  const first = await startEngine(home, tiny, {});
  const { process: running } = await statusOf(home, tiny);
  process.kill(running?.pid ?? 0, "SIGKILL");
  await expect
    .poll(async () => (await statusOf(home, tiny)).process, { timeout: 5_000 })
    .toBeUndefined();
  const second = await startEngine(home, tiny, {});
  expect(second).toMatchObject({ version: "start 2", wasRunning: false });
  expect(second.site.ports).toEqual(first.site.ports);
});

test("an engine that is stopped ends, once", async () => {
  await installEngine(home, tiny);
  await startEngine(home, tiny, {});
  expect(await stopEngine(home, tiny)).toBe(true);
  expect(await stopEngine(home, tiny)).toBe(false);
  expect(await statusOf(home, tiny)).toMatchObject({ isInstalled: true, process: undefined });
});

test("a server that ends while it starts is said so at once, with its log", async () => {
  const broken: Engine = {
    ...tiny,
    install: async (directory) =>
      await writeFile(join(directory, "server.mjs"), 'console.log("no disk"); process.exit(3);'),
  };
  await installEngine(home, broken);
  const log = join(home, "tiny", "run-1.2", "server.log");
  await expect(startEngine(home, broken, {})).rejects.toMatchObject({
    message: `tiny did not start; see ${log}`,
    cause: { message: "it ended (3)" },
  });
  expect(await readFile(log, "utf8")).toBe("no disk\n");
  expect((await statusOf(home, broken)).process).toBeUndefined();
});

test("an installation that broke off is begun anew, a whole one is kept", async () => {
  let attempts = 0;
  const flaky: Engine = {
    ...tiny,
    async install(directory, version) {
      await writeFile(join(directory, `attempt-${++attempts}`), version);
      if (attempts === 1) throw new Error("the network went away");
    },
  };
  await expect(installEngine(home, flaky)).rejects.toThrow("the network went away");
  expect((await statusOf(home, flaky)).isInstalled).toBe(false);
  await installEngine(home, flaky);
  await installEngine(home, flaky);
  expect(attempts).toBe(2);
  const dist = join(home, "tiny", "dist-1.2");
  expect(await readFile(join(dist, "attempt-2"), "utf8")).toBe("1.2");
  await expect(readFile(join(dist, "attempt-1"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("what is missing on the machine is named", async () => {
  const needy: Engine = { ...tiny, needs: ["node", "no-such-compiler", "no-such-builder"] };
  await expect(installEngine(home, needy)).rejects.toThrow(
    "needs no-such-compiler and no-such-builder on the PATH",
  );
});
