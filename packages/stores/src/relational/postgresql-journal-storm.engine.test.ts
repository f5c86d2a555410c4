import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import { afterAll, beforeAll, expect, test } from "vitest";

import { describeOnServer } from "../testing/engine-server.ts";
import { inspectAfterStorm, STORM_TENANTS, writeInStorm } from "../testing/journal-storm.ts";
import { TestDatabase } from "../testing/postgresql-database.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { openPostgresqlJournal } from "./postgresql-journal.ts";

// Longer by hand: CUSTODY_TEST_STORM_SECONDS=60, and CUSTODY_TEST_STORM_SEED to repeat one.
const STORM_MS = Number(process.env["CUSTODY_TEST_STORM_SECONDS"] ?? 5) * 1_000;
const SEED = Number(process.env["CUSTODY_TEST_STORM_SEED"] ?? randomInt(2 ** 31));
const PROCESSES = 3;
// Shorter than a writer is stopped for, so that some of them lose their transactions.
const TIMEOUT_MS = 1_500;
const STOPPED_MS_MAX = 2_000;

const moduleOf = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);

/** What writers have told, whichever process they are. */
class Told {
  readonly tried = new Map<string, Set<string>>(STORM_TENANTS.map((name) => [name, new Set()]));
  readonly acknowledged = new Map<string, string[]>(STORM_TENANTS.map((name) => [name, []]));
  readonly failures: string[] = [];

  note(what: string, tenant: string, commits: readonly string[]): void {
    for (const commit of commits) {
      if (what === "tried") this.tried.get(tenant)?.add(commit);
      else this.acknowledged.get(tenant)?.push(commit);
    }
  }
}

/** A process that writes until it is killed. */
function startWriter(url: string, seed: number, told: Told): ChildProcess {
  const source = `
    const { openPostgresqlJournal } = await import(${moduleOf("./postgresql-journal.ts")});
    const { writeInStorm } = await import(${moduleOf("../testing/journal-storm.ts")});
    const { seededRandom } = await import(${moduleOf("../testing/seeded-random.ts")});
    const { writeSync } = await import("node:fs");
    const store = await openPostgresqlJournal({ url: ${JSON.stringify(url)}, clock: Date.now });
    await writeInStorm(store, {
      name: "w${seed}", random: seededRandom(${seed}), deadlineMs: 4_000, isOver: () => false,
      tell: (...told) => writeSync(1, JSON.stringify(told) + "\\n"),
    });`;
  const child = spawn(
    process.execPath,
    [
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      "--input-type=module",
      "--eval",
      source,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  createInterface({ input: child.stdout }).on("line", (line) => {
    // The last line of one that was killed may be a part of one.
    if (line.endsWith("]]")) told.note(...(JSON.parse(line) as Parameters<Told["note"]>));
  });
  createInterface({ input: child.stderr }).on("line", (line) => told.failures.push(line));
  return child;
}

describeOnServer("postgresql", (url) => {
  const database = new TestDatabase(url);
  beforeAll(() => database.create());
  afterAll(() => database[Symbol.asyncDispose]());

  test(
    `writers of several processes, killed, stopped and cut off at random, leave whole journals: seed ${SEED}`,
    async () => {
      const random = seededRandom(SEED);
      const told = new Told();
      const place = database.url({ timeout: String(TIMEOUT_MS), role: database.role });
      await using store = await openPostgresqlJournal({ url: place, clock: Date.now });
      let seeds = 0;
      const start = () => startWriter(place, SEED * 1_000 + ++seeds, told);
      const ended: Promise<unknown>[] = [];
      const watch = (child: ChildProcess): ChildProcess => {
        ended.push(new Promise((resolve) => child.once("close", resolve)));
        return child;
      };
      const children = Array.from({ length: PROCESSES }, () => watch(start()));
      const until = performance.now() + STORM_MS;
      const isOver = () => performance.now() > until;
      const own = writeInStorm(store, {
        name: "own",
        random: seededRandom(SEED + 1),
        deadlineMs: 4_000,
        tell: (what, tenant, commits) => told.note(what, tenant, commits),
        isOver,
      });
      // By hand the server itself may be made to crash meanwhile.
      const end = (ending: string) =>
        database
          .run(
            `SELECT ${ending}(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database()
             AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2) AS chosen`,
          )
          .catch(() => []);
      while (!isOver()) {
        const index = Math.floor(random() * PROCESSES);
        const what = random();
        if (what < 0.25) {
          children[index]?.kill("SIGKILL");
          children[index] = watch(start());
        } else if (what < 0.35) {
          const child = children[index];
          child?.kill("SIGSTOP");
          setTimeout(() => child?.kill("SIGCONT"), random() * STOPPED_MS_MAX);
        } else await end(what < 0.55 ? "pg_terminate_backend" : "pg_cancel_backend");
        await pause(random() * 150);
      }
      await own;
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(ended);
      expect(told.failures).toEqual([]);
      let [entries, acknowledged] = [0, 0];
      for (const tenant of STORM_TENANTS) {
        const tried = told.tried.get(tenant) ?? new Set();
        const done = told.acknowledged.get(tenant) ?? [];
        const found = await inspectAfterStorm(store, tenant, { tried, acknowledged: done });
        expect({ tenant, faults: found.faults }).toEqual({ tenant, faults: [] });
        entries += found.entries;
        acknowledged += done.length;
      }
      expect(acknowledged).toBeGreaterThan(10);
      expect(entries).toBeGreaterThanOrEqual(acknowledged * 2);
    },
    STORM_MS + 60_000,
  );
});
