import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as elapse } from "node:timers/promises";

import type { Custody } from "@custody/core/custody";
import { initCustody, openCustody } from "@custody/server/compose";
import type { Scope } from "@custody/stores/scope";
import { describeOnServer } from "@custody/stores/testing/engine-server";
import { proxyRoute, throughProxy } from "@custody/stores/testing/proxied-url";
import { expect, test } from "vitest";

import { dropInstallation } from "../../testbed/drop-installation.ts";
import { installationUrl } from "../../testbed/role-urls.ts";
import { openForwarder } from "./forwarder.ts";

// The whole minute is asked for by this variable; otherwise it is ten seconds, and the same promises.
const STOPPED_MS = Number(process.env["CUSTODY_STOPPED_SECONDS"] ?? "10") * 1_000;
const TYPE = "redteam/session_evidence";
const scope: Scope = { tenant: "acme", actor: "user:test", deadline: Infinity };

describeOnServer("postgresql", (server) => {
  test.each(["refusing", "silent"] as const)(
    "a series server that is %s delays only the series: commits, other stores and status go on, and it converges by itself",
    async (how) => {
      const root = mkdtempSync(join(tmpdir(), "custody-stopped-server-"));
      const home = installationUrl(server, `stop${randomBytes(5).toString("hex")}`);
      await using forwarder = await openForwarder(proxyRoute(home, undefined).upstream);
      const series = throughProxy(home, forwarder.port, {
        timeout: "2000",
        "connect-timeout": "1000",
      });
      const place = { dataDirectory: join(root, "data"), keyFile: join(root, "root.key") };
      const notices: string[] = [];
      try {
        await initCustody(place);
        await using custody = await openCustody({
          ...place,
          engines: { series },
          onNotice: (text) => notices.push(text),
        });
        let committed = await commit(custody, 0);
        await custody.catchUp(scope);
        await forwarder.shut(how);
        const slowestMs = await writeFor(STOPPED_MS, async () => {
          committed += await commit(custody, committed);
        });
        // A commit waits for no series; the bound leaves room for a machine with other work.
        expect(slowestMs).toBeLessThan(2_000);
        await custody.catchUp(scope, ["document", "search", "relational", "analytics", "graph"]);
        expect((await custody.count(scope, TYPE)).count).toBe(committed);
        const { roles, breakers } = await custody.status(scope);
        expect(roles.series.condition).toBe("waiting");
        expect(roles.search).toMatchObject({ condition: "ok", lag: 0 });
        expect(breakers).toMatchObject([{ store: "series" }]);
        const engines = await custody.engines();
        expect(engines.find(({ role }) => role === "series")).toMatchObject({
          breakers: [{ store: "series" }],
          trouble: expect.any(String),
        });
        await forwarder.open();
        await custody.catchUp(scope);
        expect((await custody.reconcile(scope)).ok).toBe(true);
        expect((await custody.status(scope)).breakers).toEqual([]);
        const told = notices.filter((text) => text.includes("TimescaleDB (series)"));
        expect(told).toEqual([
          expect.stringContaining("did not answer 5 times in a row"),
          expect.stringContaining("answers again"),
        ]);
      } finally {
        await forwarder.open();
        await dropInstallation({ series: home });
        rmSync(root, { recursive: true, force: true });
      }
    },
    STOPPED_MS + 120_000,
  );
});

/** Writes again and again for a while; answers how long the slowest took. */
async function writeFor(ms: number, write: () => Promise<void>): Promise<number> {
  const endAt = performance.now() + ms;
  let slowestMs = 0;
  while (performance.now() < endAt) {
    const begunAt = performance.now();
    await write();
    slowestMs = Math.max(slowestMs, performance.now() - begunAt);
    // A steady writer: the server, not the writer, is what is tried here.
    await elapse(100);
  }
  return slowestMs;
}

async function commit(custody: Custody, from: number): Promise<number> {
  const put = Array.from({ length: 20 }, (_, index) => ({ fields: evidence(from + index) }));
  const { entries } = await custody.commit(scope, [{ type: TYPE, put }]);
  return entries.reduce((sum, { accepted }) => sum + accepted, 0);
}

function evidence(number: number): Readonly<Record<string, unknown>> {
  return {
    id: `evidence-${number}`,
    session_id: `session-${Math.floor(number / 50)}`,
    observed_at: new Date(Date.parse("2026-04-01T00:00:00Z") + number * 1_000).toISOString(),
    model: "aurora",
    scores: [{ scorer: "harm", type: "float_scale", value: 0.5 }],
    vulnerability_ids: [],
    labels: {},
    converters: [],
    latency_ms: 300,
    tokens: 120,
    prompt: { turns: [{ role: "user", content: `number ${number}` }] },
    response: { content: "no" },
  };
}
