// Fills small disks to the last byte, and makes room again.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import type { Receipt } from "@custody/contract/receipt";
import type { Custody } from "@custody/core/custody";
import { initCustody } from "@custody/server/compose";
import { seededRandom } from "@custody/stores/testing/seeded-random";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { EVIDENCE, evidenceId, manyEvidence, scope } from "./evidence.ts";
import { openInstallation } from "./open-installation.ts";

const run = promisify(execFile);

/** Mounts a disk in memory, or makes one larger; false where the machine does not let us. */
async function mount(path: string, mebibytes: number, isThere = false): Promise<boolean> {
  const size = `size=${mebibytes}m${isThere ? ",remount" : ""}`;
  try {
    await run("mount", ["-t", "tmpfs", "-o", size, "tmpfs", path]);
    return true;
  } catch {
    return false;
  }
}

async function canMount(): Promise<boolean> {
  const path = await mkdtemp(join(tmpdir(), "custody-mount-"));
  const isMounted = process.platform === "linux" && (await mount(path, 1));
  if (isMounted) await run("umount", [path]);
  await rm(path, { recursive: true });
  return isMounted;
}

const isMounting = await canMount();
const lack = isMounting
  ? ""
  : ": this machine lets nobody mount one (the simulator fills disks too)";

/** Small commits lie in the journal itself, large ones in segments. */
const SMALL = { records: 5, size: 3_000 };
const LARGE = { records: 200, size: 3_000 };
const COMMITS_MAX = 3_000;

let root = "";
let mounted: string[] = [];
let notices: string[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "custody-full-"));
  mounted = [];
  notices = [];
});
afterEach(async () => {
  for (const path of mounted.toReversed()) await run("umount", ["-l", path]);
  await rm(root, { recursive: true, force: true });
});

const data = (...names: readonly string[]): string => join(root, "data", ...names);
const blobs = (): string => data("tenants", scope.tenant, "blobs");

/** Makes an installation with a disk of its own under each of the given directories. */
async function openOn(
  disks: readonly (readonly [path: string, mebibytes: number])[],
): ReturnType<typeof openInstallation> {
  const place = { dataDirectory: data(), keyFile: join(root, "root.key"), engines: {} };
  for (const [path, mebibytes] of disks) {
    await mkdir(path, { recursive: true });
    expect(await mount(path, mebibytes)).toBe(true);
    mounted.push(path);
  }
  await initCustody(place);
  return openInstallation(place, { onNotice: (text) => notices.push(text) });
}

/** Commits until the disk is full, or as often as wanted; answers what was acknowledged and what was said. */
async function commitUntilFull(
  custody: Custody,
  { records, size }: typeof SMALL,
  commits = COMMITS_MAX,
): Promise<{ readonly receipts: readonly Receipt[]; readonly failure: unknown }> {
  const receipts: Receipt[] = [];
  for (let number = 0; number < commits; number += 1) {
    const random = seededRandom(number);
    const put = manyEvidence(number * records, records, 0).map(({ fields }) => ({
      fields: { ...fields, response: { content: noise(size, random) } },
    }));
    try {
      receipts.push(
        await custody.commit(scope, [{ type: EVIDENCE, put }], { idempotencyKey: `c${number}` }),
      );
    } catch (failure) {
      return { receipts, failure };
    }
  }
  return { receipts, failure: undefined };
}

/** Text that does not get smaller than half when it is packed. */
function noise(size: number, random: () => number): string {
  return Buffer.from(Array.from({ length: size / 2 }, () => random() * 256)).toString("hex");
}

/** All that was acknowledged is there and nothing in part, in every store, without anybody's doing. */
async function expectWhole(
  custody: Custody,
  receipts: readonly Receipt[],
  { records }: typeof SMALL,
): Promise<void> {
  expect(await custody.verify(scope)).toMatchObject({ ok: true });
  await custody.catchUp(scope);
  const { count } = await custody.count(scope, EVIDENCE);
  expect(count % records).toBe(0);
  expect(count).toBeGreaterThanOrEqual(receipts.length * records);
  for (const number of [0, receipts.length - 1]) {
    const id = evidenceId(number * records);
    expect((await custody.get(scope, EVIDENCE, id))?.id).toBe(id);
  }
  expect(await custody.reconcile(scope)).toMatchObject({ ok: true });
  expect(await custody.quarantine.list(scope)).toEqual([]);
}

describe.skipIf(!isMounting)(`on a small disk that is full${lack}`, () => {
  test.each([
    { what: "the journal", kind: SMALL, small: () => data(), others: () => [data("tenants")] },
    { what: "the blobs", kind: LARGE, small: blobs, others: () => [] },
  ])(
    "$what: a commit says so and leaves nothing half written, and goes through once there is room",
    async ({ kind, small, others }) => {
      const { custody } = await openOn([
        [small(), 6],
        ...others().map((path) => [path, 256] as const),
      ]);
      await using _closing = custody;
      const { receipts, failure } = await commitUntilFull(custody, kind);
      expect(failure).toMatchObject({ name: "StoreError", code: "full", retryable: true });
      expect(receipts.length).toBeGreaterThan(0);
      // Reading goes on.
      expect((await custody.get(scope, EVIDENCE, evidenceId(0)))?.id).toBe("r0000000");
      expect(await mount(small(), 256, true)).toBe(true);
      const after = await commitUntilFull(custody, kind, receipts.length + 3);
      expect(after.failure).toBeUndefined();
      expect(after.receipts.slice(0, receipts.length).every(({ isReplay }) => isReplay)).toBe(true);
      await expectWhole(custody, after.receipts, kind);
    },
    120_000,
  );

  test("the projected stores: commits go on and people are told, and the stores catch up once there is room", async () => {
    const { custody } = await openOn([
      [data("tenants"), 8],
      [blobs(), 256],
    ]);
    await using _closing = custody;
    const { receipts, failure } = await commitUntilFull(custody, LARGE, 12);
    expect(failure).toBeUndefined();
    const deadline = Date.now() + 30_000;
    while (!notices.some((text) => text.startsWith("waiting for")) && Date.now() < deadline) {
      await new Promise((turn) => setImmediate(turn));
    }
    expect(notices).toContainEqual(expect.stringMatching(/^waiting for .*(?:full|space)/s));
    expect(await mount(data("tenants"), 512, true)).toBe(true);
    await expectWhole(custody, receipts, LARGE);
  }, 120_000);
});
