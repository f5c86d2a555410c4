// Kills a real process while it makes a backup and while it restores one.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import { initCustody, openCustody } from "@custody/server/compose";
import { backUpKeys } from "@custody/server/key-operations";
import { openPlace } from "@custody/server/open-place";
import { seededRandom } from "@custody/stores/testing/seeded-random";
import { afterEach, beforeEach, expect, test } from "vitest";

import type { BackupLabour } from "./backup-program.ts";
import { EVIDENCE, manyEvidence, scope } from "./evidence.ts";

const SEED = Number(process.env["CUSTODY_CRASH_SEED"] ?? 1);
const KILLS = process.env["CUSTODY_CRASH"] === "all" ? 10 : 2;
const FILLED = 1_200;

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "custody-backup-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Runs the program, and kills it so long after it began; answers whether it had come to its end. */
async function run(labour: BackupLabour, killAfterMs?: number): Promise<boolean> {
  const program = join(import.meta.dirname, "backup-program.ts");
  const child = spawn(
    process.execPath,
    [
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      program,
      JSON.stringify(labour),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const printed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line);
    if (line !== "begun" || killAfterMs === undefined) continue;
    await pause(killAfterMs);
    child.kill("SIGKILL");
  }
  const code = await ended;
  if (killAfterMs === undefined) expect(code).toBe(0);
  return printed.includes("done");
}

test(`a backup and a restore that are killed ${KILLS} times each are made by the next (seed ${SEED}), and hold all that was acknowledged before`, async () => {
  const random = seededRandom(SEED);
  const place = { dataDirectory: join(root, "data"), keyFile: join(root, "root.key") };
  const { recoveryKey } = await initCustody(place);
  const to = join(root, "backups");
  const keyBackup = join(root, "keys");
  await backUpKeys({ ...place, keyBackup }, {});
  {
    await using custody = await openCustody(place);
    for (let from = 0; from < FILLED; from += 400)
      await custody.commit(scope, [{ type: EVIDENCE, put: manyEvidence(from, 400, 500) }]);
  }
  for (let kill = 0; kill <= KILLS; kill += 1) {
    const labour = { what: "create", ...place, to, from: FILLED + kill * 200 } as const;
    await run(labour, kill === KILLS ? undefined : random() * 400);
  }
  let acknowledged = 0;
  {
    await using custody = await openCustody(place);
    await using backups = await openPlace(to);
    expect(await custody.verify(scope)).toMatchObject({ ok: true });
    const listed = await custody.backup.list(scope, backups);
    // What was cut off is none, and is not taken for one.
    expect(listed.filter((one) => "fault" in one)).toEqual([]);
    expect(await custody.backup.verify(scope, backups, "latest")).toMatchObject({ ok: true });
    await custody.backup.create(scope, backups, { kind: "incremental" });
    await custody.catchUp(scope);
    acknowledged = (await custody.count(scope, EVIDENCE)).count;
  }
  const into = { dataDirectory: join(root, "new"), keyFile: join(root, "new.key"), engines: {} };
  const secret = { kind: "recovery", typed: recoveryKey } as const;
  for (let kill = 0; kill <= KILLS; kill += 1) {
    const hasKeys = existsSync(into.keyFile);
    const keys = hasKeys ? {} : { keys: { url: keyBackup, secret, isCopy: true } };
    const labour = { what: "restore", from: to, backupId: "latest", to: "latest", into } as const;
    // One that came to its end before it was killed is not done over.
    if (await run({ ...labour, ...keys }, kill === KILLS ? undefined : random() * 500)) break;
  }
  await using restored = await openCustody(into);
  expect(await restored.verify(scope)).toMatchObject({ ok: true });
  await restored.catchUp(scope);
  expect((await restored.count(scope, EVIDENCE)).count).toBe(acknowledged);
  expect(await restored.reconcile(scope)).toMatchObject({ ok: true });
}, 300_000);
