import { createPublicKey, verify } from "node:crypto";

import { afterEach, beforeEach, expect, test } from "vitest";

import { canonicalJson } from "@custody/contract/json";

import { zstdCodec } from "../journal/format/codec.ts";
import { historyPack, seeded, writeHistory } from "../testing/history.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { keysOf, openRestorePlace } from "../testing/restore-place.ts";
import { drill } from "./drill.ts";
import type { DrillParts, SignedDrillReport } from "./drill.ts";
import { journalContents } from "./journal-contents.ts";

const SEED = 7;
let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation({ packs: [historyPack] });
  await writeHistory(installation, seeded(SEED), { commits: 12, first: 0 });
}, 60_000);
afterEach(() => installation[Symbol.asyncDispose]());

/** A drill with a backup of now, of which the installation is five seconds ahead. */
async function runDrill(changes: Partial<DrillParts> = {}): Promise<SignedDrillReport> {
  const { custody, clock, stores } = installation;
  const live = { journal: await stores.journal(), blob: await stores.blob() };
  const source = await journalContents(live, { backupId: "b1", repository: "r1" });
  clock.nowMs += 5_000;
  const part = { type: "sample/users", put: [{ fields: { id: "late", login: "late" } }] };
  // Gamma is not in the backup at all.
  for (const tenant of ["acme", "beta", "gamma", "_system"])
    await custody.commit({ ...scope, tenant }, [part]);
  await using keys = await keysOf(installation);
  const random = seeded(SEED);
  const parts: DrillParts = {
    source,
    live,
    keys,
    runtime: {
      clock: () => (clock.nowMs += 1),
      random: (length) => Uint8Array.from({ length }, () => random() * 256),
      sleep: () => Promise.resolve(),
      codec: zstdCodec,
      user: "os:drill",
    },
    commit: (at, list) => custody.commit(at, list),
    makePlace: async () => {
      const place = await openRestorePlace(installation, { packs: [historyPack] });
      return {
        target: place.target,
        open: async () => (await place.open()).custody,
        [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
      };
    },
    ...changes,
  };
  return await drill(parts, scope);
}

test("restores to an instant of the backup, checks every store and proofs, and keeps a signed report", async () => {
  const { report, keyId, signature } = await runDrill();
  expect(report).toMatchObject({
    backup: "b1",
    differences: 0,
    verified: { ok: true },
    ok: true,
  });
  expect(report.proofs.tried).toBeGreaterThan(0);
  expect(report.proofs.held).toBe(report.proofs.tried);
  expect(report.rpoMs).toBeGreaterThanOrEqual(5_000);
  expect(report.rpoMs).toBeLessThan(3_600_000);
  expect(report.rtoMs).toBeGreaterThan(0);
  const { records } = await installation.custody.find(
    { ...scope, tenant: "_system" },
    "custody/drills",
  );
  expect(records).toHaveLength(1);
  expect(records[0]?.fields).toMatchObject({
    ok: true,
    key_id: keyId,
    signature,
    report: canonicalJson(report),
  });
  await using keys = await keysOf(installation);
  const { publicKey } = await keys.signer("_system");
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  const isSigned = (text: string): boolean =>
    verify(null, Buffer.from(text), key, Buffer.from(signature, "base64url"));
  expect(isSigned(`custody drill report v1\0${canonicalJson(report)}`)).toBe(true);
  expect(isSigned(`custody drill report v1\0${canonicalJson({ ...report, ok: false })}`)).toBe(
    false,
  );
}, 60_000);

test("says that it did not succeed when a proof is signed by another key than the installation's", async () => {
  await using stranger = await openInstallation({ packs: [historyPack] });
  await using keys = await keysOf(stranger);
  const { report } = await runDrill({ keys });
  expect(report.proofs.held).toBe(0);
  expect(report.ok).toBe(false);
}, 60_000);
