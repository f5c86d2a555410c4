import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as elapse } from "node:timers/promises";

import type { Custody } from "@custody/core/custody";
import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";
import { openStoppable } from "@custody/server/testing/stoppable-installation";
import type { Stop } from "@custody/server/testing/stoppable-installation";
import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";
import { expect, test } from "vitest";

// The whole minute is asked for by this variable; otherwise it is two seconds, and the same promises.
const STOPPED_MS = Number(process.env["CUSTODY_STOPPED_SECONDS"] ?? "2") * 1_000;
const BATCH = 200;
// A steady writer of at most 2,000 records a second.
const PACE_MS = 100;
const MIB = 1024 * 1024;
const TYPE = "redteam/session_evidence";

const scope: Scope = { tenant: "acme", actor: "user:test", deadline: Infinity };

interface Lived {
  readonly committed: number;
  /** Bytes of heap and of everything that the process took more than before, at most. */
  readonly heapGrowth: number;
  readonly residentGrowth: number;
  /** Records that the stores found when all was over. */
  readonly found: number;
  readonly notices: readonly string[];
}

test.each([
  ["search", "refusing"],
  ["analytics", "silent"],
] as const)(
  "a %s store that is stopped (%s) loses nothing, keeps nothing back and costs bounded memory",
  async (role, how) => {
    const { committed, ...lived } = await live(role, how);
    expect(committed).toBeGreaterThan(BATCH);
    expect(lived.found).toBe(committed);
    expect(lived.heapGrowth).toBeLessThan(160 * MIB);
    expect(lived.residentGrowth).toBeLessThan(300 * MIB);
    const [stopped, ...rest] = lived.notices.filter((text) => text.includes(`(${role})`));
    if (how === "refusing") {
      expect(stopped).toContain(
        "did not answer 5 times in a row and is asked more rarely until it does: the connection was lost",
      );
      expect(rest).toEqual([expect.stringContaining("answers again")]);
    }
  },
  STOPPED_MS + 120_000,
);

async function live(role: ProjectedRole, how: Stop): Promise<Lived> {
  const root = mkdtempSync(join(tmpdir(), "custody-stopped-"));
  const notices: string[] = [];
  const place = { dataDirectory: join(root, "data"), keyFile: join(root, "root.key") };
  try {
    await using installation = await openStoppable({
      ...place,
      role,
      onNotice: (text) => notices.push(text),
    });
    const { custody } = installation;
    let committed = await commit(custody, 0);
    await custody.catchUp(scope);
    const before = process.memoryUsage();
    let [heap, resident] = [0, 0];
    installation.stop(how);
    const endAt = performance.now() + STOPPED_MS;
    while (performance.now() < endAt) {
      const nextAt = performance.now() + PACE_MS;
      committed += await commit(custody, committed);
      const now = process.memoryUsage();
      heap = Math.max(heap, now.heapUsed + now.external - before.heapUsed - before.external);
      resident = Math.max(resident, now.rss - before.rss);
      await elapse(Math.max(0, nextAt - performance.now()));
    }
    // What the others hold is current while this one is away: else this would not end.
    await custody.catchUp(
      scope,
      PROJECTED_ROLES.filter((other) => other !== role),
    );
    installation.start();
    await caughtUp(custody);
    const { ok, projections } = await custody.reconcile(scope);
    if (!ok) throw new Error("the stores differ from the journal");
    const own = projections.find((one) => one.role === role && one.name === TYPE);
    return {
      committed,
      heapGrowth: heap,
      residentGrowth: resident,
      found: own?.records ?? 0,
      notices,
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Catches up; while the breaker is open those who ask are told so, and ask again. */
async function caughtUp(custody: Custody): Promise<void> {
  const deadline = performance.now() + 100_000;
  while (performance.now() < deadline) {
    try {
      return await custody.catchUp(scope);
    } catch (cause) {
      if (!(cause instanceof StoreError) || !cause.retryable) throw cause;
      await elapse(100);
    }
  }
  throw new Error("it did not catch up");
}

async function commit(custody: Custody, from: number): Promise<number> {
  const put = Array.from({ length: BATCH }, (_, index) => ({ fields: evidence(from + index) }));
  const receipt = await custody.commit(scope, [{ type: TYPE, put }]);
  return receipt.entries.reduce((sum, { accepted }) => sum + accepted, 0);
}

function evidence(number: number): Readonly<Record<string, unknown>> {
  const text = `number ${number}: ${"what may be told and what may not ".repeat(30)}`;
  return {
    id: `evidence-${number}`,
    session_id: `session-${Math.floor(number / 50)}`,
    observed_at: new Date(Date.parse("2026-04-01T00:00:00Z") + number * 1_000).toISOString(),
    model: `model-${number % 5}`,
    scores: [{ scorer: "harm", type: "float_scale", value: (number % 100) / 100 }],
    vulnerability_ids: [`VUL-${number % 20}`],
    labels: {},
    converters: [],
    prompt: { turns: [{ role: "user", content: text }] },
    response: { content: text },
  };
}
