import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Scope } from "@custody/stores/scope";

import { historyPack, historyPackV1, seeded, stateAt, writeHistory } from "../testing/history.ts";
import type { Commitment } from "../testing/history.ts";
import { openInstallation } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { openRestorePlace } from "../testing/restore-place.ts";
import { journalContents } from "./journal-contents.ts";
import type { RestoreSource } from "./restore-source.ts";
import { restoreBackup } from "./restore.ts";
import { restoredJournal } from "./restored-journal.ts";
import type { RestoreTarget } from "./restored-journal.ts";

const SEED = 20_261_121;
const RESTORES = 200;

let installation: Installation;
let source: RestoreSource;
let written: readonly Commitment[];
const random = seeded(SEED);

beforeAll(async () => {
  const first = await openInstallation({ packs: [historyPackV1] });
  const early = await writeHistory(first, random, { commits: 50, first: 0 });
  installation = await first.reopen({ packs: [historyPack] });
  const late = await writeHistory(installation, random, { commits: 100, first: 50 });
  written = [...early, ...late];
  const { journal, blob } = installation.stores;
  const live = { journal: await journal(), blob: await blob() };
  source = await journalContents(live, { backupId: "b1", repository: "r1" });
}, 60_000);
afterAll(() => installation[Symbol.asyncDispose]());

const at = (tenant: string): Scope => ({
  tenant,
  actor: "user:test",
  deadline: Number.POSITIVE_INFINITY,
});

/** Where the restored journal has each record that ever was, and how many are live in it. */
async function restoredState(
  { journal }: Pick<RestoreTarget, "journal">,
  expected: ReturnType<typeof stateAt>,
): Promise<ReturnType<typeof stateAt>> {
  const found = new Map<string, { sequence: number; isDeleted: boolean } | undefined>();
  const keys = [...expected.keys()].map((key) => /^(\S+) (\S+) (.+)$/.exec(key) ?? []);
  for (const [place, own] of Map.groupBy(keys, ([, tenant, type]) => `${tenant} ${type}`)) {
    const [tenant = "", type = ""] = place.split(" ");
    const ids = own.map(([, , , id = ""]) => id);
    const positions = await journal.lookup(at(tenant), type, ids);
    for (const [index, position] of positions.entries()) {
      const { sequence = 0, isDeleted = false } = position ?? {};
      found.set(`${place} ${ids[index]}`, position && { sequence, isDeleted });
    }
  }
  return found;
}

async function restoresTo(time: number): Promise<void> {
  await using place = await openRestorePlace(installation, { packs: [historyPack] });
  const { journal } = place.target;
  await restoreBackup(source, place.target, { to: { time } });
  const expected = stateAt(written, time);
  expect(await restoredState(place.target, expected), `to ${time}`).toEqual(expected);
  for (const tenant of ["acme", "beta", "_system"]) {
    const isThere = ([key, one]: [string, unknown]): boolean =>
      key.startsWith(`${tenant} sample/attempts `) && one !== undefined;
    const live = [...expected].filter(isThere).length;
    expect(await journal.count(at(tenant), "sample/attempts")).toEqual({ live, total: live });
  }
}

describe(`restore, seed ${SEED}`, () => {
  test(`to ${RESTORES} random instants equals what was acknowledged by then, each time`, async () => {
    const [from = 0, to = 0] = [written[0]?.receivedAt, written.at(-1)?.receivedAt];
    const instants = Array.from({ length: RESTORES }, () =>
      Math.floor(from - 1_000 + random() * (to - from + 2_000)),
    );
    // Several at once, as a restore mostly waits for its files to be durable.
    while (instants.length > 0) await Promise.all(instants.splice(0, 10).map(restoresTo));
  }, 600_000);

  test("keeps every record's content hash, whichever way its line is sealed, so that it is known again", async () => {
    await using place = await openRestorePlace(installation, { packs: [historyPack] });
    await restoreBackup(source, place.target, { to: "latest" });
    const journal = await installation.stores.journal();
    const { reader } = restoredJournal(place.target);
    const hashes = new Map<string, number>();
    for (const tenant of ["acme", "beta", "_system"]) {
      for await (const { type, sequence, operation } of source.entries(tenant, { after: 0 })) {
        if (operation === "delete") continue;
        const entry = await reader.entry(at(tenant), sequence);
        const { ids } = (await reader.readRecords(at(tenant), entry)).batch;
        const keys = ids.map((id) => ({ id, sequence: sequence + 1 }));
        const before = await journal.lookupBefore(at(tenant), type, keys);
        expect(await place.target.journal.lookupBefore(at(tenant), type, keys)).toEqual(before);
        hashes.set(type, (hashes.get(type) ?? 0) + before.length);
      }
    }
    expect([...hashes.keys()].toSorted()).toEqual([
      "custody/audit_logs",
      "sample/assets",
      "sample/attempts",
      "sample/diaries",
      "sample/dossiers",
      "sample/notes",
      "sample/users",
    ]);
    // Written under the first version of its type, and hashed as that.
    expect(hashes.get("sample/notes")).toBeGreaterThan(20);
  }, 60_000);

  test("opened, is in step in every store and verifies, at three of the instants", async () => {
    const [from = 0, to = 0] = [written[0]?.receivedAt, written.at(-1)?.receivedAt];
    for (const part of [0.2, 0.5, 0.9]) {
      await using place = await openRestorePlace(installation, { packs: [historyPack] });
      await restoreBackup(source, place.target, { to: { time: from + (to - from) * part } });
      await using restored = await place.open();
      expect(
        (await restored.custody.verify(at("acme"), { allTenants: true })).fault,
      ).toBeUndefined();
      for (const tenant of ["acme", "beta"])
        expect((await restored.custody.reconcile(at(tenant))).ok).toBe(true);
    }
  }, 120_000);
});
