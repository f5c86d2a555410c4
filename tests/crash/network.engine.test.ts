// A whole installation whose journal is reached through a network that fails, while it is written to.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import type { Receipt } from "@custody/contract/receipt";
import type { Custody } from "@custody/core/custody";
import { initCustody, openCustody } from "@custody/server/compose";
import { StoreError } from "@custody/stores/errors";
import { describeOnServer, testServerUrl } from "@custody/stores/testing/engine-server";
import { proxyRoute, throughProxy } from "@custody/stores/testing/proxied-url";
import { openToxiproxyProxy } from "@custody/stores/testing/toxiproxy";
import type { ToxiproxyProxy } from "@custody/stores/testing/toxiproxy";
import { describe, expect, onTestFinished, test } from "vitest";

import { EVIDENCE, manyEvidence, scope } from "./evidence.ts";
import { garakFile } from "./garak-file.ts";
import { freshDatabase, onPostgresql } from "./postgresql-installation.ts";

const WRITERS = 4;
const COMMITS = 12;
const RECORDS = 5;
const IMPORTED = 800;
const FAULT_MS = 2_500;

const FAULTS: Readonly<
  Record<string, (proxy: ToxiproxyProxy) => Promise<() => Promise<AsyncDisposable>>>
> = {
  "is slow": async (proxy) => () =>
    proxy.add("downstream", { type: "latency", latency: 300, jitter: 200 }),
  "resets connections": async (proxy) => (await proxy.armReset()).fire,
  "does not answer in time": async (proxy) => () =>
    proxy.add("downstream", { type: "latency", latency: 120_000 }),
  "swallows requests": async (proxy) => () =>
    proxy.add("upstream", { type: "timeout", timeout: 0 }),
  "swallows answers, so that the effect is done": async (proxy) => () =>
    proxy.add("downstream", { type: "timeout", timeout: 0 }),
  "breaks answers off, so that the effect is done": async (proxy) => () =>
    proxy.add("downstream", { type: "limit_data", bytes: 1 }),
  "refuses connections": async (proxy) => () => proxy.shut(),
};

const api = testServerUrl("toxiproxy");
describeOnServer("postgresql", (server) => {
  describe.skipIf(api === undefined)("through a proxy that fails", () => {
    test.each(Object.keys(FAULTS))(
      "a journal that %s while it is written to loses nothing that was acknowledged, and doubles nothing",
      async (name) => {
        const database = await freshDatabase(server, onTestFinished);
        await using proxy = await openToxiproxyProxy(
          api ?? "",
          proxyRoute(database.url(), undefined),
        );
        const begin = await FAULTS[name]?.(proxy);
        const options = { timeout: "1500", "connect-timeout": "1000" };
        const url = throughProxy(database.url(), proxy.port, options);
        await using place = await openPlace(onPostgresql(url));
        const { custody } = place;
        await writeOnce(custody, "before", 0);
        const failures: unknown[] = [];
        const writing = writeAll(custody, failures);
        {
          await using _fault = await begin?.();
          await pause(FAULT_MS);
        }
        const receipts = await writing;
        // The writers met the fault, where it is one that they cannot outwait.
        if (name !== "is slow") expect(failures.length).toBeGreaterThan(0);
        await expectKept(custody, receipts);
      },
      180_000,
    );
  });
});

/** Commits by writers side by side, and an import; each again under its key until it is acknowledged. */
async function writeAll(custody: Custody, failures: unknown[]): Promise<readonly Receipt[]> {
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    const receipts: Receipt[] = [];
    for (let commit = 0; commit < COMMITS; commit += 1) {
      const number = 1 + writer * COMMITS + commit;
      receipts.push(
        await untilAcknowledged(() => writeOnce(custody, `commit-${number}`, number), failures),
      );
    }
    return receipts;
  });
  const file = garakFile("network", IMPORTED);
  const imported = untilAcknowledged(
    () =>
      custody.import(scope, () => chunksOf(file), {
        name: "network.report.jsonl",
        labels: { session: "imported" },
      }),
    failures,
  );
  const [receipts] = await Promise.all([Promise.all(writers), imported]);
  return receipts.flat();
}

async function expectKept(custody: Custody, receipts: readonly Receipt[]): Promise<void> {
  const { count } = await custody.count(scope, EVIDENCE, { after: await headOf(custody) });
  expect(count).toBe((1 + WRITERS * COMMITS) * RECORDS + IMPORTED);
  // Each was taken once: what was told again under its key was no second commit.
  expect(receipts.every(({ duplicates }) => (duplicates[EVIDENCE] ?? 0) === 0)).toBe(true);
  const sequences = receipts.flatMap(({ entries }) => entries.map(({ sequence }) => sequence));
  expect(new Set(sequences).size).toBe(WRITERS * COMMITS);
  for (const [index, receipt] of receipts.entries()) {
    const again = await writeOnce(custody, `commit-${index + 1}`, index + 1);
    expect({ ...again, isReplay: false }).toEqual({ ...receipt, isReplay: false });
  }
  expect(await custody.verify(scope)).toMatchObject({ ok: true });
  await custody.catchUp(scope);
  expect(await custody.reconcile(scope)).toMatchObject({ ok: true });
}

function writeOnce(custody: Custody, key: string, number: number): Promise<Receipt> {
  const put = manyEvidence(number * RECORDS, RECORDS, 40);
  return custody.commit(scope, [{ type: EVIDENCE, put }], { idempotencyKey: key });
}

async function headOf(custody: Custody): Promise<number> {
  return (await custody.status(scope)).entries;
}

async function untilAcknowledged<Answer>(
  work: () => Promise<Answer>,
  failures: unknown[],
): Promise<Answer> {
  for (;;) {
    try {
      return await work();
    } catch (cause) {
      if (!(cause instanceof StoreError) || !cause.retryable) throw cause;
      failures.push(cause);
      await pause(50);
    }
  }
}

async function openPlace(
  engines: ReturnType<typeof onPostgresql>,
): Promise<AsyncDisposable & { readonly custody: Custody }> {
  const root = await mkdtemp(join(tmpdir(), "custody-network-"));
  const place = { dataDirectory: join(root, "data"), keyFile: join(root, "root.key"), engines };
  await initCustody(place);
  const custody = await openCustody(place);
  return {
    custody,
    async [Symbol.asyncDispose]() {
      await custody[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function* chunksOf(file: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.byteLength; at += 16_384) {
    yield file.subarray(at, at + 16_384);
    // Read as slowly as a file from afar, so that it is under way when the network fails.
    await pause(20);
  }
}
