import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Custody } from "@custody/core/custody";
import { CoreError } from "@custody/core/errors";
import { initCustody, openCustody } from "@custody/server/compose";
import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";
import { describe, expect, test } from "vitest";

const MIB = 1024 * 1024;
const TYPE = "redteam/session_evidence";
const scope: Scope = { tenant: "acme", actor: "user:test", deadline: Infinity };

// Of 64 MiB a quarter is kept free.
const DISK_MIB = 64;
const KEPT_MIB = 16;

const isMountable = process.getuid?.() === 0 && canMount();
const lack = isMountable ? "" : ": nothing may be mounted here";

describe.skipIf(!isMountable)(`a disk of ${DISK_MIB} MiB${lack}`, () => {
  test("takes commits until a quarter is left, refuses the next, and keeps all that it acknowledged", async () => {
    await onSmallDisk(async ({ directory, place }) => {
      await using custody = await openCustody(place);
      let acknowledged = 0;
      let refusal: unknown;
      while (refusal === undefined) {
        try {
          acknowledged += await commit(custody, acknowledged, 100);
        } catch (cause) {
          refusal = cause;
        }
      }
      expect(refusal).toBeInstanceOf(StoreError);
      expect(refusal).toMatchObject({
        code: "full",
        retryable: true,
        message: expect.stringContaining("nothing was written; remove what is not needed there"),
      });
      expect(acknowledged).toBeGreaterThan(500);
      const { bavail, bsize } = statfsSync(directory);
      // What was admitted, and what stores had under way, stays far from the last byte.
      expect(bavail * bsize).toBeGreaterThan((KEPT_MIB / 2) * MIB);
      expect(await custody.verify(scope)).toMatchObject({ ok: true });
      const { disks } = await custody.status(scope);
      expect(disks.map(({ place: at, totalBytes }) => [at, totalBytes])).toEqual([
        [place.dataDirectory, DISK_MIB * MIB],
      ]);
      const types = await custody.types(scope);
      expect(types.find(({ name }) => name === TYPE)?.records).toBe(acknowledged);
    });
  }, 120_000);

  test("that others fill refuses writes and answers reads, and takes writes again by itself when there is room", async () => {
    await onSmallDisk(async ({ directory, place }) => {
      await using custody = await openCustody(place);
      await commit(custody, 0, 10);
      await custody.catchUp(scope);
      const filler = join(directory, "filler");
      const { bavail, bsize } = statfsSync(directory);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - 10 * MIB, 1));
      expect((await custody.status(scope)).disks).toMatchObject([
        { isLow: true, neededBytes: 20 * MIB },
      ]);
      expect(await outcome(custody, 10)).toBe("full");
      expect((await custody.find(scope, TYPE)).records).toHaveLength(10);
      expect(await custody.verify(scope)).toMatchObject({ ok: true });
      rmSync(filler);
      await until(async () => (await outcome(custody, 20)) === "taken");
      await custody.catchUp(scope);
      expect((await custody.reconcile(scope)).ok).toBe(true);
    });
  }, 60_000);
});

interface SmallDisk {
  readonly directory: string;
  readonly place: { readonly dataDirectory: string; readonly keyFile: string };
}

async function onSmallDisk(work: (disk: SmallDisk) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "custody-small-disk-"));
  const directory = join(root, "disk");
  mkdirSync(directory);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", directory]);
  try {
    const place = { dataDirectory: join(directory, "data"), keyFile: join(root, "root.key") };
    await initCustody(place);
    await work({ directory, place });
  } finally {
    execFileSync("umount", ["-l", directory]);
    rmSync(root, { recursive: true, force: true });
  }
}

function canMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), "custody-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], {
      stdio: "ignore",
    });
    execFileSync("umount", [directory]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function outcome(custody: Custody, from: number): Promise<string> {
  try {
    await commit(custody, from, 10);
    return "taken";
  } catch (cause) {
    if (cause instanceof StoreError || cause instanceof CoreError) return cause.code;
    throw cause;
  }
}

async function commit(custody: Custody, from: number, count: number): Promise<number> {
  const put = Array.from({ length: count }, (_, index) => ({ fields: evidence(from + index) }));
  const { entries } = await custody.commit(scope, [{ type: TYPE, put }]);
  return entries.reduce((sum, { accepted }) => sum + accepted, 0);
}

function evidence(number: number): Readonly<Record<string, unknown>> {
  // What cannot be compressed takes its whole room.
  const text = randomBytes(1_500).toString("base64");
  return {
    id: `evidence-${number}`,
    session_id: "session",
    observed_at: new Date(Date.parse("2026-04-01T00:00:00Z") + number * 1_000).toISOString(),
    model: "aurora",
    scores: [],
    vulnerability_ids: [],
    labels: {},
    converters: [],
    prompt: { turns: [{ role: "user", content: text }] },
    response: { content: text },
  };
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error("it did not come to that within 20 s");
  }
}
