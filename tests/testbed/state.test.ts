import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { enginesHome } from "../../testbed/engines-home.ts";
import { choosePorts } from "../../testbed/ports.ts";
import { isAlive, readState, startTicksOf, writeState } from "../../testbed/state.ts";
import { turns, whileLocked } from "../../testbed/turns.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "custody-testbed-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("an engine's state", () => {
  const running = {
    version: "7.0",
    ports: { main: 26_379, tls: 26_380 },
    process: { pid: 41, startTicks: "12345", saysVersion: "7.0.15", stopSignal: "SIGTERM" },
  } as const;

  test("is read as it was written, and no half file is left", async () => {
    expect(await readState(folder)).toBeUndefined();
    await writeState(folder, running);
    expect(await readState(folder)).toEqual(running);
    await writeState(folder, { version: "7.0", ports: { main: 1 } });
    expect(await readState(folder)).toEqual({ version: "7.0", ports: { main: 1 } });
    expect(await readdir(folder)).toEqual(["state.json"]);
  });

  test.each(["", "{", "[]", '{"version":7}', '{"version":"7","ports":{"main":"x"}}'])(
    "that is broken is none: %s",
    async (text) => {
      await writeFile(join(folder, "state.json"), text);
      expect(await readState(folder)).toBeUndefined();
    },
  );

  test("tells its process from a later one of the same number, and from one that has ended", async () => {
    const child = spawn(process.execPath, ["--eval", "setInterval(() => {}, 1000)"]);
    await once(child, "spawn");
    const pid = child.pid ?? 0;
    const startTicks = (await startTicksOf(pid)) ?? "none";
    const one = { pid, startTicks, saysVersion: "1", stopSignal: "SIGTERM" } as const;
    expect(await isAlive(one)).toBe(true);
    expect(await isAlive({ ...one, startTicks: "1" })).toBe(false);
    child.kill("SIGKILL");
    await once(child, "close");
    expect(await isAlive(one)).toBe(false);
  });
});

describe("ports", () => {
  test("stay those of last time, and give way to others that hold them", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port: taken } = holder.address() as { port: number };
    const chosen = await choosePorts({ main: taken, other: taken }, {});
    expect(Object.keys(chosen)).toEqual(["main", "other"]);
    expect(chosen["main"]).not.toBe(taken);
    expect(chosen["other"]).not.toBe(chosen["main"]);
    expect(await choosePorts({ main: taken, other: taken }, chosen)).toEqual(chosen);
    holder.close();
    await once(holder, "close");
    expect(await choosePorts({ main: taken }, {})).toEqual({ main: taken });
  });
});

describe("turns", () => {
  test("let two pieces of work run at a time, in order, also when one fails", async () => {
    const turn = turns(2);
    const events: string[] = [];
    let running = 0;
    let most = 0;
    const work = (name: string) =>
      turn(async () => {
        most = Math.max(most, ++running);
        events.push(name);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (name === "a") throw new Error("a failed");
      });
    const results = await Promise.allSettled(["a", "b", "c", "d"].map(work));
    expect(results.map(({ status }) => status)).toEqual([
      "rejected",
      "fulfilled",
      "fulfilled",
      "fulfilled",
    ]);
    expect(events).toEqual(["a", "b", "c", "d"]);
    expect(most).toBe(2);
  });

  test("a directory that another works on is waited for, and free when its process is killed", async () => {
    const turnsModule = new URL("../../testbed/turns.ts", import.meta.url).href;
    const child = spawn(process.execPath, [
      "--input-type=module",
      "--eval",
      `import { whileLocked } from ${JSON.stringify(turnsModule)};
       await whileLocked(${JSON.stringify(folder)}, () => { console.log("held"); return new Promise(() => setInterval(() => {}, 1000)); });`,
    ]);
    await once(child.stdout, "data");
    let isFree = false;
    const waiting = whileLocked(folder, async () => {
      isFree = true;
    });
    const elsewhere = await whileLocked(`${folder}/other`, async () => "free");
    expect([elsewhere, isFree]).toEqual(["free", false]);
    child.kill("SIGKILL");
    await waiting;
    expect(isFree).toBe(true);
  });
});

test("the home is what is asked for, else a directory others can reach for root, else the user's cache", () => {
  expect(enginesHome({ CUSTODY_ENGINES_HOME: "/srv/engines" }, 0)).toBe("/srv/engines");
  expect(enginesHome({ XDG_CACHE_HOME: "/caches" }, 0)).toBe("/var/cache/custody-engines");
  expect(enginesHome({ XDG_CACHE_HOME: "/caches" }, 1_000)).toBe("/caches/custody-engines");
  expect(enginesHome({ CUSTODY_ENGINES_HOME: "" }, 1_000)).toMatch(/\/\.cache\/custody-engines$/);
});
