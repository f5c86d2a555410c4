import { setTimeout as pause } from "node:timers/promises";

import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { describeOnServer, testServerUrl } from "./engine-server.ts";
import type { TestServer } from "./engine-server.ts";
import { proxyRoute, throughProxy } from "./proxied-url.ts";
import { scopeFor } from "./scope.ts";
import { openToxiproxyProxy } from "./toxiproxy.ts";
import type { Toxic, ToxicStream, ToxiproxyProxy } from "./toxiproxy.ts";

/** How a server engine is opened, written and counted while the network is hurt. */
export interface NetworkFaultFixture<Store extends AsyncDisposable> {
  /** Opens the store; what it keeps on the server may be left by an earlier test. Must not need the server. */
  readonly open: (url: string) => Promise<Store>;
  /** Makes the place the rows go to, through a network that is whole: a schema, a topic. Called after each opening, again when it was unavailable. */
  readonly prepare?: (store: Store, scope: Scope) => Promise<void>;
  /** Writes the row of this number; the same number again must not add another. */
  readonly write: (store: Store, number: number, scope: Scope) => Promise<void>;
  /** Counts the rows there are, by asking the server. */
  readonly count: (store: Store, scope: Scope) => Promise<number>;
  /** Drops from the server what the tests kept there; `url` leads past the proxy. */
  readonly clean?: (url: string) => Promise<void>;
  /** The server tells clients an address of its own: tested when CUSTODY_TEST_<NAME>_PROXY=listen:upstream is set. */
  readonly isAddressAdvertised?: boolean;
}

const TIMEOUT_MS = 1_500;
const CONNECT_MS = 1_000;
// A call may open a connection, then ask; the rest is for a machine that has other work as well.
const BOUND_MS = CONNECT_MS + TIMEOUT_MS + 2_500;
// Clients that back off between attempts to connect need a moment after a fault has ended.
const RECOVERY_MS = 10_000;
// Far beyond the limit, so that only the client's own limit can end the call.
const NEVER_MS = 120_000;

interface Fault {
  readonly name: string;
  /** Called before the store is opened; what it answers begins the fault. */
  readonly arm: (proxy: ToxiproxyProxy) => Promise<() => Promise<AsyncDisposable>>;
}

const toxic =
  (stream: ToxicStream, what: Toxic): Fault["arm"] =>
  async (proxy) =>
  () =>
    proxy.add(stream, what);

const FAULTS: readonly Fault[] = [
  {
    name: "an answer that is too late",
    arm: toxic("downstream", { type: "latency", latency: NEVER_MS }),
  },
  {
    name: "a request that is too late",
    arm: toxic("upstream", { type: "latency", latency: NEVER_MS }),
  },
  {
    name: "a connection that is reset",
    arm: async (proxy) => (await proxy.armReset()).fire,
  },
  {
    name: "a half-open connection that swallows requests",
    arm: toxic("upstream", { type: "timeout", timeout: 0 }),
  },
  {
    name: "a half-open connection that swallows answers, so that the effect is done",
    arm: toxic("downstream", { type: "timeout", timeout: 0 }),
  },
  {
    name: "an answer that breaks off at its first byte, so that the effect is done",
    arm: toxic("downstream", { type: "limit_data", bytes: 1 }),
  },
  { name: "a server that refuses connections", arm: async (proxy) => () => proxy.shut() },
];

/**
 * The contract of every server engine when the network fails: a typed, retryable error within the
 * time limit, and afterwards the same call succeeds, through the same store, without doubling.
 *
 * Runs through toxiproxy (CUSTODY_TEST_TOXIPROXY_URL), with `timeout` and `connect-timeout` put into
 * the server's URL; skipped where there is none. Call it at the top of an engine's test file.
 */
export function describeNetworkFaults<Store extends AsyncDisposable>(
  server: TestServer,
  fixture: NetworkFaultFixture<Store>,
): void {
  const api = testServerUrl("toxiproxy");
  const fixed = process.env[`CUSTODY_TEST_${server.toUpperCase()}_PROXY`];
  const isReachable = fixture.isAddressAdvertised !== true || fixed !== undefined;

  describeOnServer(server, (url) => {
    describe.skipIf(api === undefined || !isReachable)("when the network fails", () => {
      let proxy: ToxiproxyProxy;
      const scope = scopeFor("tenant-a");
      const open = (): Promise<Store> =>
        fixture.open(
          throughProxy(url, proxy.port, {
            timeout: String(TIMEOUT_MS),
            "connect-timeout": String(CONNECT_MS),
          }),
        );
      beforeEach(async () => {
        proxy = await openToxiproxyProxy(api ?? "", proxyRoute(url, fixed));
      });
      afterEach(() => proxy[Symbol.asyncDispose]());
      afterAll(() => fixture.clean?.(url));

      describeSlowNetwork(fixture, { open, scope, proxy: () => proxy });
      describeBrokenNetwork(fixture, { open, scope, proxy: () => proxy });
    });
  });
}

interface Trial<Store> {
  readonly open: () => Promise<Store>;
  readonly scope: Scope;
  readonly proxy: () => ToxiproxyProxy;
}

// Numbers of rows are never used twice, as tests may share what is kept on the server.
let lastNumber = 0;

function describeSlowNetwork<Store extends AsyncDisposable>(
  { prepare, write, count }: NetworkFaultFixture<Store>,
  { open, scope, proxy }: Trial<Store>,
): void {
  test.each<{ readonly name: string; readonly stream: ToxicStream; readonly what: Toxic }>([
    { name: "late", stream: "downstream", what: { type: "latency", latency: 80, jitter: 20 } },
    {
      name: "in crumbs",
      stream: "downstream",
      what: { type: "slicer", average_size: 40, size_variation: 20, delay: 0 },
    },
  ])("answers that come $name, but in time, are answers", async ({ stream, what }) => {
    await using store = await open();
    await untilAvailable(async () => prepare?.(store, scope));
    const before = await untilAvailable(() => count(store, scope));
    await using _fault = await proxy().add(stream, what);
    await write(store, ++lastNumber, scope);
    expect(await count(store, scope)).toBe(before + 1);
  });

  test("a deadline that is nearer than the time limit ends the call", async () => {
    await using store = await open();
    await untilAvailable(async () => prepare?.(store, scope));
    await untilAvailable(() => count(store, scope));
    await using _fault = await proxy().add("downstream", { type: "latency", latency: NEVER_MS });
    const startedAt = Date.now();
    await expectUnavailable(count(store, { ...scope, deadline: startedAt + 300 }));
    expect(Date.now() - startedAt).toBeLessThan(TIMEOUT_MS - 100);
  });
}

function describeBrokenNetwork<Store extends AsyncDisposable>(
  { prepare, write, count }: NetworkFaultFixture<Store>,
  { open, scope, proxy }: Trial<Store>,
): void {
  test.each(FAULTS)(
    "$name: unavailable in time, afterwards the same call succeeds and nothing is doubled",
    { timeout: 30_000 },
    async ({ arm }) => {
      const begin = await arm(proxy());
      await using store = await open();
      await untilAvailable(async () => prepare?.(store, scope));
      const [first, second] = [++lastNumber, ++lastNumber];
      await untilAvailable(() => write(store, first, scope));
      const before = await untilAvailable(() => count(store, scope));
      {
        await using _fault = await begin();
        const startedAt = Date.now();
        await Promise.all([
          expectUnavailable(write(store, second, scope)),
          expectUnavailable(count(store, scope)),
        ]);
        expect(Date.now() - startedAt).toBeLessThan(BOUND_MS);
      }
      await untilAvailable(() => write(store, second, scope));
      await untilAvailable(() => write(store, first, scope));
      expect(await untilAvailable(() => count(store, scope))).toBe(before + 1);
    },
  );

  test("a store opens while its server is down, says so, and works when it is back", async () => {
    const shut = await proxy().shut();
    await using store = await open();
    await expectUnavailable(count(store, scope));
    await shut[Symbol.asyncDispose]();
    await untilAvailable(async () => prepare?.(store, scope));
    const before = await untilAvailable(() => count(store, scope));
    await untilAvailable(() => write(store, ++lastNumber, scope));
    expect(await untilAvailable(() => count(store, scope))).toBe(before + 1);
  });
}

async function expectUnavailable(call: Promise<unknown>): Promise<void> {
  await expect(call).rejects.toMatchObject({
    name: "StoreError",
    code: "unavailable",
    retryable: true,
  });
}

/** Repeats a call as a caller would: only while the store says that repeating may help. */
async function untilAvailable<Result>(call: () => Promise<Result>): Promise<Result> {
  const until = Date.now() + RECOVERY_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreError && error.retryable) || Date.now() > until) throw error;
      await pause(20);
    }
  }
}
