// What LadybugDB does to the process it works in must stay there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { expect, test } from "vitest";

import type { StoreError } from "../errors.ts";
import { makeBatch } from "../record-batch.ts";
import type { Delivery } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { collection } from "./conformance-fixture.ts";
import { openLadybugGraph } from "./ladybug.ts";
import type { LadybugGraphStore } from "./ladybug.ts";

const sizeMax = 2 ** 30;
const scope = scopeFor("tenant-a");
const HOSTS = 5;
const AT = Date.parse("2026-04-01T00:00:00.001Z");

/** The name of a graph set aside in a millisecond after midnight. */
const aside = (ms: number): string => `graph-1-1.lbug.set-aside-20260401T00000000${ms}Z`;

/** Five new hosts that all run one service, in the entry of that sequence. */
function delivery(sequence: number, hosts = HOSTS): Delivery {
  const records = Array.from({ length: hosts }, (_, index) => ({
    id: `${sequence}-${index}`,
    sequence,
    text: JSON.stringify({ name: `h${sequence}-${index}`, cores: sequence, services: ["ssh"] }),
  }));
  const batches = [makeBatch("test/host", records)];
  return { batches, checkpoint: sequence, after: sequence - 1 };
}

/** What the graph says of itself: its checkpoint, and its hosts, highest sequence and edges. */
async function state(store: LadybugGraphStore, of: Scope = scope): Promise<readonly unknown[]> {
  const count = async (statement: string): Promise<readonly unknown[]> => {
    const request = { statement, rowsMax: 10, timeMs: 10_000 };
    return (await store.query(of, collection, request)).rows[0] ?? [];
  };
  return [
    await store.checkpoint(of, collection),
    ...(await count("MATCH (n:Host) RETURN count(*), max(n.cores)")),
    ...(await count("MATCH (:Host)-[k:RUNS]->(:Service) RETURN count(*)")),
  ];
}

function stateAt(checkpoint: number): readonly unknown[] {
  const hosts = checkpoint * HOSTS;
  return [checkpoint, hosts, checkpoint === 0 ? null : checkpoint, hosts];
}

/** Ends the store's process and waits until it is gone. */
async function endProcess(store: LadybugGraphStore, signal: NodeJS.Signals): Promise<void> {
  const { processId } = store;
  if (processId === undefined) throw new Error("the store has no process");
  process.kill(processId, signal);
  while (store.processId === processId) await new Promise((turn) => setImmediate(turn));
}

/** The file of generation 1. */
function fileOf(directory: string, tenant: string): string {
  return join(directory, "tenants", tenant, "graph-1-1.lbug");
}

test("opened, filled, closed and opened again thirty times, one process goes on and the graph is whole", async () => {
  await using directory = await makeTemporaryDirectory();
  for (let round = 1; round <= 30; round += 1) {
    await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
    await store.prepare(scope, collection);
    await store.apply(scope, collection, delivery(round));
    expect(await state(store)).toEqual([round, round * 5, round, round * 5]);
  }
}, 60_000);

test("a process killed while it writes fails that call alone; the next goes on where the graph stands", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  await store.prepare(scope, collection);
  let sequence = 0;
  for (const turns of [0, 1, 5, 20, 80, 200, 400]) {
    await store.apply(scope, collection, delivery(sequence + 1));
    sequence += 1;
    const underway = store
      .apply(scope, collection, delivery(sequence + 1))
      .catch((cause: unknown) => cause);
    for (let turn = 0; turn < turns; turn += 1) await new Promise((next) => setImmediate(next));
    await endProcess(store, "SIGKILL");
    const failure = await underway;
    const checkpoint = await store.checkpoint(scope, collection);
    if (failure === undefined) expect(checkpoint).toBe(sequence + 1);
    else {
      expect(failure).toMatchObject({ name: "StoreError", code: "unavailable", retryable: true });
      expect(checkpoint - sequence).toBeOneOf([0, 1]);
    }
    expect(await state(store)).toEqual(stateAt(checkpoint));
    sequence = checkpoint;
  }
}, 60_000);

test("a crash of the library is an error, not the end of this process", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  await store.apply(scope, collection, delivery(1));
  for (const signal of ["SIGABRT", "SIGSEGV"] as const) {
    const underway = store
      .apply(scope, collection, delivery(2, 5_000))
      .catch((cause: unknown) => cause);
    await endProcess(store, signal);
    expect(await underway).toMatchObject({ name: "StoreError", code: "unavailable" });
    expect(await state(store)).toEqual([1, 5, 1, 5]);
  }
});

test("a graph whose every delivery crashes the library is called corrupt at the third, and can be set aside", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  const codes: string[] = [];
  for (let round = 1; round <= 3; round += 1) {
    await store.prepare(scope, collection);
    const underway = store
      .apply(scope, collection, delivery(1, 5_000))
      .catch((cause: unknown) => cause);
    await endProcess(store, "SIGABRT");
    codes.push(((await underway) as StoreError).code);
  }
  expect(codes).toEqual(["unavailable", "unavailable", "corrupt"]);
  expect(await store.hasDamage?.(scope)).toBe(true);
  expect(await store.setAside?.(scope, AT)).toEqual([aside(1)]);
  await store.apply(scope, collection, delivery(1));
  expect(await state(store)).toEqual([1, 5, 1, 5]);
});

test("a log torn at any place leaves whole deliveries with their checkpoint, and none in part", async () => {
  await using directory = await makeTemporaryDirectory();
  const log = await makeLog(directory.path, 12);
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  const cuts = 24;
  let before = 0;
  for (let cut = 0; cut <= cuts; cut += 1) {
    const tenant = `torn-${cut}`;
    await copyWithLog(directory.path, tenant, log.subarray(0, (log.length * cut) / cuts));
    const checkpoint = await store.checkpoint(scopeFor(tenant), collection);
    expect(checkpoint).toBeGreaterThanOrEqual(before);
    expect(await state(store, scopeFor(tenant))).toEqual(stateAt(checkpoint));
    before = checkpoint;
  }
  expect(before).toBe(12);
}, 60_000);

test("killed in a checkpoint, and again after the next delivery, a graph holds what its checkpoint says", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  for (let round = 1; round <= 4; round += 1) {
    const tenant = scopeFor(`killed-${round}`);
    await store.apply(tenant, collection, delivery(1));
    await store.settle(tenant);
    for (let sequence = 2; sequence <= 6; sequence += 1) {
      await store.apply(tenant, collection, delivery(sequence, 1_000));
    }
    const settling = store.settle(tenant).catch(() => undefined);
    const file = fileOf(directory.path, tenant.tenant);
    const deadline = performance.now() + 10_000;
    while (!existsSync(`${file}.wal.checkpoint`) && performance.now() < deadline) {
      await new Promise((turn) => setImmediate(turn));
    }
    await endProcess(store, "SIGKILL");
    await settling;
    const isWhole = await store.prepare(tenant, collection).then(
      () => true,
      () => false,
    );
    await store.setAside?.(tenant, AT);
    const found = await store.checkpoint(tenant, collection);
    expect(found).toBe(isWhole ? 6 : 0);
    const before = await state(store, tenant);
    await store.apply(tenant, collection, delivery(found + 1));
    await endProcess(store, "SIGKILL");
    // A graph that was set aside has no row to count in until it is written again.
    const hosts = Number(before[1] ?? 0) + 5;
    expect(hosts).toBe(isWhole ? 5_010 : 5);
    expect(await state(store, tenant)).toEqual([found + 1, hosts, found + 1, hosts]);
  }
}, 60_000);

test("a log with rubbish in it leaves whole deliveries, or is called corrupt, and then the graph fills again", async () => {
  await using directory = await makeTemporaryDirectory();
  const log = await makeLog(directory.path, 6);
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  const places = 6;
  for (let place = 1; place <= places; place += 1) {
    const tenant = scopeFor(`damaged-${place}`);
    const damaged = Buffer.from(log);
    damaged.fill(0xa5, Math.floor((log.length * place) / (places + 1)));
    await copyWithLog(directory.path, tenant.tenant, damaged);
    const found = await store.checkpoint(tenant, collection).catch((cause: unknown) => cause);
    if (typeof found === "number") {
      expect(await state(store, tenant)).toEqual(stateAt(found));
      continue;
    }
    expect(found).toMatchObject({ name: "StoreError", code: "corrupt" });
    expect(await store.setAside?.(tenant, AT)).toEqual([aside(1)]);
    expect(await store.checkpoint(tenant, collection)).toBe(0);
    for (let sequence = 1; sequence <= 3; sequence += 1) {
      await store.apply(tenant, collection, delivery(sequence));
    }
    expect(await state(store, tenant)).toEqual([3, 15, 3, 15]);
  }
}, 120_000);

test("a damaged graph that was set aside is read again from the start, and its two newest copies stay", async () => {
  await using directory = await makeTemporaryDirectory();
  const file = fileOf(directory.path, "tenant-a");
  for (let round = 1; round <= 4; round += 1) {
    await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
    if (round > 1) {
      await writeFile(file, Buffer.alloc(8_192, 0x41));
      await expect(store.checkpoint(scope, collection)).rejects.toMatchObject({ code: "corrupt" });
      expect(await store.setAside?.(scope, AT + round - 2)).toEqual([aside(round - 1)]);
      expect(await store.setAside?.(scope, AT)).toEqual([]);
    }
    expect(await store.checkpoint(scope, collection)).toBe(0);
    await expect(store.apply(scope, collection, delivery(3))).rejects.toMatchObject({
      code: "conflict",
    });
    await store.apply(scope, collection, delivery(1));
    await store.apply(scope, collection, delivery(2));
    expect(await state(store)).toEqual([2, 10, 2, 10]);
  }
  const names = async (): Promise<readonly string[]> =>
    (await readdir(join(file, ".."))).filter((name) => name.startsWith("graph-")).sort();
  expect(await names()).toEqual(["graph-1-1.lbug", aside(2), aside(3)]);
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  await store.discard(scope, collection);
  expect(await names()).toEqual([]);
});

test("what a removed graph left in a log is not taken for its successor's", async () => {
  await using directory = await makeTemporaryDirectory();
  const file = fileOf(directory.path, "tenant-b");
  await copyWithLog(directory.path, "tenant-b", await makeLog(directory.path, 2), ["log"]);
  expect(existsSync(file)).toBe(false);
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  const tenant = scopeFor("tenant-b");
  await store.prepare(tenant, collection);
  expect(await state(store, tenant)).toEqual([0, 0, null, 0]);
});

test("one tenant's graph is removed while another's is written, and neither call fails", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  const other = scopeFor("tenant-b");
  await store.apply(other, collection, delivery(1));
  const writing = (async () => {
    for (let sequence = 1; sequence <= 20; sequence += 1) {
      await store.apply(scope, collection, delivery(sequence));
    }
  })();
  for (let round = 0; round < 3; round += 1) {
    await store.discard(other, collection);
    await store.apply(other, collection, delivery(1));
  }
  await writing;
  expect(await state(store)).toEqual([20, 100, 20, 100]);
  expect(await state(store, other)).toEqual([1, 5, 1, 5]);
});

test("a call whose deadline is over is not made", async () => {
  await using directory = await makeTemporaryDirectory();
  const clock = (): number => 1_000;
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax, clock });
  await store.apply({ ...scope, deadline: 1_001 }, collection, delivery(1));
  const late = { ...scope, deadline: 1_000 };
  const unavailable = { name: "StoreError", code: "unavailable" };
  await expect(store.apply(late, collection, delivery(2))).rejects.toMatchObject(unavailable);
  await expect(store.checkpoint(late, collection)).rejects.toMatchObject(unavailable);
  expect(await state(store)).toEqual([1, 5, 1, 5]);
});

test("a process with nothing to do ends, and the next call starts another", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax, idleMs: 1 });
  await store.apply(scope, collection, delivery(1));
  while (store.processId !== undefined) await new Promise((turn) => setImmediate(turn));
  expect(await state(store)).toEqual([1, 5, 1, 5]);
});

test("LadybugDB's process ends with the one that started it, also in the midst of a query, and lets the files go", async () => {
  await using directory = await makeTemporaryDirectory();
  const module = new URL("./ladybug.ts", import.meta.url).href;
  const options = { directory: directory.path, sizeMax };
  {
    await using store = await openLadybugGraph(options);
    await store.apply(scope, collection, delivery(1, 2_000));
  }
  const statement =
    "MATCH (a:Host), (b:Host), (c:Host), (d:Host) WHERE a.cores + b.cores + c.cores + d.cores < 0 RETURN count(*)";
  const endless = { statement, rowsMax: 1, timeMs: 600_000 };
  const source = `const { openLadybugGraph } = await import(${JSON.stringify(module)});
    const store = await openLadybugGraph(${JSON.stringify(options)});
    const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
    await store.prepare(scope, ${JSON.stringify(collection)});
    store.query(scope, ${JSON.stringify(collection)}, ${JSON.stringify(endless)});
    for (let checkpoint = 2; checkpoint <= 5; checkpoint++) {
      await store.apply(scope, ${JSON.stringify(collection)}, { batches: [], checkpoint });
    }
    process.stdout.write(store.processId + "\\n");
    setInterval(() => {}, 1000);`;
  const parent = spawn(
    process.execPath,
    ["--conditions=source", "--input-type=module", "--eval", source],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let processId = 0;
  for await (const line of createInterface({ input: parent.stdout })) {
    processId = Number(line);
    expect(isRunning(processId)).toBe(true);
    break;
  }
  parent.kill("SIGKILL");
  await once(parent, "close");
  while (isRunning(processId)) await new Promise((turn) => setImmediate(turn));
  await using store = await openLadybugGraph(options);
  expect(await store.checkpoint(scope, collection)).toBe(5);
});

function isRunning(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

/** Applies so many deliveries to tenant-a and kills the process; answers the log it left. */
async function makeLog(directory: string, deliveries: number): Promise<Buffer> {
  await using store = await openLadybugGraph({ directory, sizeMax });
  await store.prepare(scope, collection);
  // What is before the deliveries goes into the file, so that the log holds them alone.
  await store.settle(scope);
  for (let sequence = 1; sequence <= deliveries; sequence += 1) {
    await store.apply(scope, collection, delivery(sequence));
  }
  await endProcess(store, "SIGKILL");
  return await readFile(`${fileOf(directory, "tenant-a")}.wal`);
}

/** Gives another tenant tenant-a's file, with a log of its own. */
async function copyWithLog(
  directory: string,
  tenant: string,
  log: Uint8Array,
  parts: readonly ("file" | "log")[] = ["file", "log"],
): Promise<void> {
  const file = fileOf(directory, tenant);
  await mkdir(join(file, ".."), { recursive: true });
  if (parts.includes("file")) await cp(fileOf(directory, "tenant-a"), file);
  await writeFile(`${file}.wal`, log);
}

test("the first calls of a new process may come at once", { timeout: 60_000 }, async () => {
  for (let round = 0; round < 10; round += 1) {
    await using home = await makeTemporaryDirectory();
    await using store = await openLadybugGraph({ directory: home.path, sizeMax });
    await Promise.all([
      store.prepare(scope, collection),
      store.apply(scope, collection, delivery(1)),
      store.checkpoint(scope, collection),
    ]);
    const calls = await Promise.all([state(store), state(store), state(store)]);
    expect(calls).toEqual([stateAt(1), stateAt(1), stateAt(1)]);
  }
});
