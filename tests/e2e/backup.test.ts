import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { answersOf, besides, expectWhole, HITS, REPORT } from "./backup-suite.ts";
import { makeInstallation, until } from "./custody-process.ts";
import type { Ended, Installation } from "./custody-process.ts";

let template: Installation;
let recoveryKey = "";
beforeAll(async () => {
  template = await makeInstallation(afterAll);
  ({ recoveryKey } = (await template.ask("init")) as { recoveryKey: string });
  await template.ask("import", HITS, "--no-wait");
  await template.ask("keys", "backup", "--to", "key-backup");
  await template.ask("backup", "create", "--repository", "backups");
}, 180_000);

/** A copy of an installation with evidence in it, with the backup of its keys and the repository of its backups. */
async function backedUp(): Promise<{
  readonly custody: Installation;
  readonly repository: string;
}> {
  // Of the copy of the keys' backup, not of that which the installation remembers.
  const custody = await makeInstallation(onTestFinished, { CUSTODY_KEY_BACKUP_URL: "key-backup" });
  await cp(template.directory, custody.directory, { recursive: true });
  return { custody, repository: join(custody.directory, "backups") };
}

// A process starts, opens its stores and makes a backup.
const WAIT_MS = 120_000;

function failure({ exitCode, errors }: Ended): unknown {
  return { exitCode, ...(JSON.parse(errors) as object) };
}

describe("an installation is backed up and restored", () => {
  test(
    "it is restored as it was at an instant, and as it is now, and answers every question alike",
    { timeout: 600_000 },
    async () => {
      const custody = await makeInstallation();
      await custody.ask("init");
      await custody.ask("import", REPORT);
      await custody.ask("keys", "backup", "--to", "key-backup");
      const at = ["--repository", "backups"];
      const full = (await custody.ask("backup", "create", ...at)) as Created;
      expect(full.kind).toBe("full");
      const before = await answersOf(custody.run);
      const instant = new Date().toISOString();
      await custody.ask("import", HITS);
      const incremental = (await custody.ask("backup", "create", ...at)) as Created;
      expect(incremental).toMatchObject({ kind: "incremental", parent: full.backupId });
      expect(incremental.written.bytes).toBeLessThan(full.written.bytes / 4);
      const after = await answersOf(custody.run);
      expect(after).not.toEqual(before);

      const then = besides(custody, "then");
      await then.restore("--to-time", instant, ...at);
      await expectWhole(then, before);
      const now = besides(custody, "now");
      expect(await now.restore("latest", ...at)).toMatchObject({ backup: incremental.backupId });
      await expectWhole(now, after);
    },
  );

  test(
    "after the machine is lost, the two backups and the recovery key are enough",
    { timeout: 300_000 },
    async () => {
      const { custody, repository } = await backedUp();
      await rm(custody.data, { recursive: true });
      await rm(custody.keyFile);
      const words = ["backup", "restore", "latest", "--repository", repository];
      const place = ["--key-backup", "key-backup", "--json"];
      const wrong = await custody.run([...words, ...place], {
        input: "0000F-00000-00000-00000-00000-00000\n",
      });
      expect(wrong.exitCode).not.toBe(0);
      const restored = await custody.run([...words, ...place], { input: `${recoveryKey}\n` });
      expect(restored).toMatchObject({ exitCode: 0, errors: "" });
      expect(await custody.ask("find", "redteam/hits", "--count")).toMatchObject({ count: 62 });
      expect(await custody.ask("verify", "--all-tenants")).toMatchObject({ ok: true });
      expect(await custody.ask("import", HITS, "--no-wait")).toMatchObject({
        files: [{ isReplay: true }],
      });
    },
  );

  test("a replica is promoted to an installation of its own", { timeout: 300_000 }, async () => {
    const { custody } = await backedUp();
    const shipping = custody.start(["replicate", "run", "--to", "far", "--every", "1s", "--json"]);
    const rounds = linesOf(shipping.child);
    await until("a round", async () => rounds().length > 0, WAIT_MS);
    shipping.child.kill("SIGTERM");
    expect(await shipping.ended).toMatchObject({ exitCode: 0, errors: "" });
    expect(JSON.parse(rounds()[0] ?? "")).toMatchObject({ lag: { entries: 0, ms: 0 } });
    expect(await custody.ask("replicate", "status", "--to", "far")).toMatchObject({ entries: 0 });
    await custody.ask("import", REPORT, "--no-wait");
    const behind = (await custody.ask("replicate", "status", "--to", "far")) as Lag;
    expect(behind.entries).toBeGreaterThan(0);
    const { run, data, keyFile } = besides(custody, "promoted");
    const words = ["promote", "--from", "far", "--into", data, "--into-key-file", keyFile];
    expect(await custody.run(words)).toMatchObject({ exitCode: 0, errors: "" });
    const { output } = await run(["find", "redteam/hits", "--count", "--json"]);
    expect(JSON.parse(output)).toMatchObject({ count: 62 });
  });

  test(
    "a drill restores, compares and proves, and its report is kept",
    { timeout: 300_000 },
    async () => {
      const { custody, repository } = await backedUp();
      const signed = await custody.ask("backup", "drill", "--repository", repository);
      expect(signed).toMatchObject({
        report: { ok: true, differences: 0, verified: { ok: true } },
        signature: expect.stringMatching(/^[\w-]{86}$/) as string,
      });
      await custody.ask("reconcile", "document", "--tenant", "_system");
      const { output } = await custody.run([
        "find",
        "custody/drills",
        "--json",
        "--tenant",
        "_system",
      ]);
      expect(JSON.parse(output)).toMatchObject({ ok: true });
    },
  );

  test(
    "records of one type are brought back beside what is here",
    { timeout: 300_000 },
    async () => {
      const { custody, repository } = await backedUp();
      const words = ["--repository", repository, "--types", "redteam/hits"];
      expect(await custody.ask("backup", "restore", "latest", ...words)).toEqual({
        "redteam/hits": { restored: 0, present: 62, rejected: 0, erased: 0 },
      });
      expect(await custody.ask("find", "redteam/hits", "--count")).toMatchObject({ count: 62 });
    },
  );

  test("one tenant is restored alone, up to an entry", { timeout: 300_000 }, async () => {
    const { custody, repository } = await backedUp();
    await custody.ask("import", HITS, "--no-wait", "--tenant", "other");
    await custody.ask("backup", "create", "--repository", repository);
    const alone = besides(custody, "alone");
    const words = ["--repository", repository, "--tenant", "other", "--to-seq", "2"];
    expect(await alone.restore(...words)).toMatchObject({
      tenants: [{ tenant: "_system" }, { tenant: "other", cut: { sequence: 2 } }],
    });
    const counted = async (tenant: string): Promise<unknown> => {
      const { output } = await alone.run([
        "find",
        "redteam/hits",
        "--count",
        "--json",
        "--tenant",
        tenant,
      ]);
      return JSON.parse(output) as unknown;
    };
    expect(await counted("other")).toMatchObject({ count: 62 });
    expect(await counted("default")).toMatchObject({ count: 0 });
  });
});

interface Created {
  readonly backupId: string;
  readonly kind: string;
  readonly written: { readonly bytes: number };
}

interface Lag {
  readonly entries: number;
}

/** Whole lines that a process has written so far. */
function linesOf(child: ReturnType<Installation["start"]>["child"]): () => readonly string[] {
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  return () => text.split("\n").slice(0, -1);
}

describe("what cannot be done is refused, with what to do", () => {
  test("without a backup of the keys nothing is backed up", { timeout: 120_000 }, async () => {
    const custody = await makeInstallation();
    await custody.ask("init");
    const refused = await custody.run(["backup", "create", "--repository", "backups", "--json"]);
    expect(failure(refused)).toMatchObject({
      exitCode: 2,
      code: "usage",
      message: expect.stringContaining("custody keys backup --to") as string,
    });
    const nowhere = await custody.run(["backup", "create", "--json"]);
    expect(failure(nowhere)).toMatchObject({
      exitCode: 2,
      message: expect.stringContaining("CUSTODY_BACKUP_URL") as string,
    });
  });

  test("nothing is restored over what is there", { timeout: 120_000 }, async () => {
    const { custody, repository } = await backedUp();
    const words = ["backup", "restore", "latest", "--repository", repository, "--json"];
    expect(failure(await custody.run(words))).toMatchObject({ exitCode: 1, code: "conflict" });
    expect(await custody.ask("find", "redteam/hits", "--count")).toMatchObject({ count: 62 });
  });

  test(
    "a restore without a point, or with two, says how to name one",
    { timeout: 60_000 },
    async () => {
      const custody = await makeInstallation();
      const words = ["backup", "restore", "--repository", "x", "--json"];
      expect(failure(await custody.run(words))).toMatchObject({
        exitCode: 2,
        message: "restore to which point?",
      });
      expect(failure(await custody.run([...words, "latest", "--to-seq", "3"]))).toMatchObject({
        exitCode: 2,
        message: "only one point can be restored to",
      });
    },
  );

  test("another installation's repository is refused", { timeout: 180_000 }, async () => {
    const repository = join(template.directory, "backups");
    const stranger = await makeInstallation();
    await stranger.ask("init");
    await stranger.ask("keys", "backup", "--to", "key-backup");
    const refused = await stranger.run(["backup", "create", "--repository", repository, "--json"]);
    expect(failure(refused)).toMatchObject({ exitCode: 1, code: "no-key" });
  });

  test("a damaged backup is found by verify, and not restored", { timeout: 180_000 }, async () => {
    const { custody, repository } = await backedUp();
    const objects = join(repository, "tenants/_system/blobs/objects");
    const names = (await readdir(objects, { recursive: true })).filter((name) =>
      /\/[0-9a-f]{64}$/.test(name),
    );
    for (const name of names) {
      const bytes = await readFile(join(objects, name));
      bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100);
      await writeFile(join(objects, name), bytes);
    }
    const checked = await custody.run(["backup", "verify", "--repository", repository, "--json"]);
    expect(checked.exitCode).toBe(1);
    expect(JSON.parse(checked.output)).toMatchObject({ ok: false, fault: { tenant: "default" } });
    const { data, keyFile } = besides(custody, "damaged");
    const refused = await custody.run([
      "backup",
      "restore",
      "latest",
      "--repository",
      repository,
      "--json",
      "--into",
      data,
      "--into-key-file",
      keyFile,
    ]);
    expect(failure(refused)).toMatchObject({ exitCode: 1, code: "damaged" });
  });
});

test(
  "the scheduler does its jobs, writes them down, and ends in order",
  { timeout: 180_000 },
  async () => {
    const { custody, repository } = await backedUp();
    const policy = join(custody.directory, "policy.json");
    const jobs = [
      { name: "hourly", kind: "backup", every: "7 * * * *" },
      { name: "check", kind: "verify", every: "8 * * * *" },
      { name: "old", kind: "prune", every: "9 * * * *" },
    ];
    const tiers = { critical: { newestWithin: "1h" } };
    const repositories = { near: { url: repository, keep: { last: 1 } } };
    await writeFile(policy, JSON.stringify({ version: 1, repositories, tiers, jobs }));
    const environment = { CUSTODY_POLICY: policy };
    const late = await custody.run(["scheduler", "status", "--json"], { environment });
    expect(late.exitCode).toBe(1);
    expect(JSON.parse(late.output)).toMatchObject({ ok: false, lateTiers: [{ tier: "critical" }] });

    const { child, ended } = custody.start(["scheduler", "run", "--json"], { environment });
    const runs = linesOf(child);
    await until("three runs", async () => runs().length >= 3, WAIT_MS);
    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ exitCode: 0, errors: "" });
    expect(runs().map((line) => outcomeOf(line))).toEqual([
      ["hourly", "done"],
      ["check", "done"],
      ["old", "done"],
    ]);
    const status = await custody.run(["scheduler", "status", "--json"], { environment });
    expect(status.exitCode).toBe(0);
    expect(await custody.ask("backup", "list", "--repository", repository)).toHaveLength(1);
    await custody.ask("reconcile", "document", "--tenant", "_system");
    const { output } = await custody.run(["find", "custody/jobs", "--json"]);
    const recorded = output.trimEnd().split("\n");
    expect(recorded.map((line) => outcomeOf(line)).toSorted(byJob)).toEqual([
      ["check", "done"],
      ["hourly", "done"],
      ["old", "done"],
    ]);
  },
);

function outcomeOf(line: string): readonly unknown[] {
  const { job, outcome } = JSON.parse(line) as { job: string; outcome: string };
  return [job, outcome];
}

function byJob([left]: readonly unknown[], [right]: readonly unknown[]): number {
  return String(left) < String(right) ? -1 : 1;
}
