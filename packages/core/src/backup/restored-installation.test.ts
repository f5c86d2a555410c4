import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Receipt } from "@custody/contract/receipt";
import type { Scope } from "@custody/stores/scope";
import { makeMemoryDirectory } from "@custody/stores/testing/temporary-directory";

import { historyPack, historyPackV1 } from "../testing/history.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { keysOf, openRestorePlace } from "../testing/restore-place.ts";
import type { RestorePlace } from "../testing/restore-place.ts";
import { consistencyProofFromNodes } from "../journal/format/tree-frontier.ts";
import { attempt } from "../testing/sample-types.ts";
import { verifyBundle } from "../verify/standalone.ts";
import { journalContents } from "./journal-contents.ts";
import type { LiveJournal } from "./journal-contents.ts";
import { restoreRecords } from "./restore-records.ts";
import type { RestoreSource } from "./restore-source.ts";
import { restoreBackup } from "./restore.ts";

let installation: Installation;
let live: LiveJournal;
let early: Receipt;
let forked: Receipt;
let late: Receipt;

const asset = (name: string, risk: number) => ({ fields: { name, owner: "ops", risk } });
const hold = (id: string, isReleased = false) => ({
  fields: { id, about: "db", is_released: isReleased },
});
const dossier = (id: string, person: string) => ({
  fields: { person, id, contact: { mail: `${id}@example.org`, since: 7 }, note: "n" },
});

beforeAll(async () => {
  installation = await openInstallation({ packs: [historyPack] });
  const { custody, clock, stores } = installation;
  const commit = (...parts: Parameters<typeof custody.commit>[1]): Promise<Receipt> => {
    clock.nowMs += 1_000;
    return custody.commit(scope, parts, { idempotencyKey: `key ${clock.nowMs}` });
  };
  early = await commit(
    { type: "sample/assets", put: [asset("db", 1), asset("web", 1)] },
    { type: "sample/users", put: [{ fields: { id: "u1", login: "ana" } }] },
  );
  const put = Array.from({ length: 40 }, (_, index) => ({
    fields: attempt(`a${index}`, { prompt: "z".repeat(2_000) }),
  }));
  await commit({ type: "sample/attempts", put });
  await custody.compact(scope);
  await custody.blob.put(scope, "reports/one.txt", bytes("a report"));
  await custody.blob.put(scope, "originals/secret", bytes("about bob"));
  forked = await commit(
    { type: "sample/dossiers", put: [dossier("d1", "ana"), dossier("d2", "bob")] },
    { type: "sample/holds", put: [hold("h1")] },
  );
  late = await commit({ type: "sample/assets", put: [asset("db", 9)], delete: ["web"] });
  await commit({ type: "sample/holds", put: [hold("h1", true), hold("h2")] });
  await commit({ type: "sample/users", put: [{ fields: { id: "u1", login: "renamed" } }] });
  live = { journal: await stores.journal(), blob: await stores.blob() };
}, 60_000);
afterAll(() => installation[Symbol.asyncDispose]());

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

async function textOf(chunks: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks ?? []) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

const contents = (from: LiveJournal = live): Promise<RestoreSource> =>
  journalContents(from, { backupId: "b1", repository: "r1" });
const emptyPlace = (): Promise<RestorePlace> =>
  openRestorePlace(installation, { packs: [historyPack] });
const toFork = { time: 0 };
beforeAll(() => Object.assign(toFork, { time: forked.receivedAt }));

describe("a restored installation", () => {
  test("answers as then, verifies whole, and every store agrees with its journal", async () => {
    await using place = await emptyPlace();
    const report = await restoreBackup(await contents(), place.target, { to: toFork });
    expect(report).toMatchObject({ backup: "b1", unknownTypes: [], files: { unreadable: [] } });
    await using restored = await place.open();
    const { custody } = restored;
    expect((await custody.get(scope, "sample/assets", "db"))?.fields["risk"]).toBe(1);
    expect((await custody.get(scope, "sample/assets", "web"))?.fields["risk"]).toBe(1);
    expect((await custody.get(scope, "sample/dossiers", "d1"))?.fields["contact"]).toEqual({
      mail: "d1@example.org",
      since: 7,
    });
    expect(await textOf(await custody.blob.get(scope, "reports/one.txt"))).toBe("a report");
    const table = await custody.table(scope, "sample/users", { limit: 10 });
    expect(table.rows.map(({ login }) => login)).toEqual(["ana"]);
    const checked = await custody.verify(scope, { allTenants: true });
    expect(checked.fault).toBeUndefined();
    expect((await custody.reconcile(scope)).ok).toBe(true);
    const [kept] = (await custody.find(scope, "custody/restores")).records;
    expect(kept?.fields).toMatchObject({ backup: "b1", old_timeline: early.timeline });
  }, 60_000);

  test("is of another timeline: what was acknowledged before the fork counts, what came later is refused by name", async () => {
    await using place = await emptyPlace();
    const { timeline } = await restoreBackup(await contents(), place.target, { to: toFork });
    await using restored = await place.open();
    const { custody } = restored;
    const status = await custody.status(scope);
    expect(status.timeline).toBe(timeline);
    const found = await custody.find(scope, "sample/assets", { after: early });
    expect(found.records).toHaveLength(2);
    await expect(custody.find(scope, "sample/assets", { after: late })).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(
        new RegExp(`timeline ${late.timeline}.* the restore at entry ${forked.head.size + 1} left`),
      ) as unknown,
    });
    const bundle = await custody.proof(scope, "sample/attempts", "a7");
    expect(verifyBundle(bundle).fault).toBeUndefined();
    expect(bundle.restores).toHaveLength(1);
    const journal = await restored.stores.journal();
    const [from, size] = [early.head.size, bundle.treeSize];
    const steps = await consistencyProofFromNodes(from, size, (nodes) =>
      journal.treeNodes(scope, nodes),
    );
    const path = steps.map((step) => Buffer.from(step).toString("hex"));
    const trusted = { head: early.head, consistency: { from, path } };
    expect(verifyBundle(bundle, trusted).fault).toBeUndefined();
    const { restores: _, ...without } = bundle;
    expect(verifyBundle(without).fault).toMatch(/^timeline: .*no restore began that/);
    expect(verifyBundle(bundle, { head: late.head }).fault).toMatch(
      /trusted head: it is of another timeline: .* the restore at entry \d+ left it/,
    );
  }, 60_000);

  test("knows what it was told before: idempotency keys, duplicates and the unique columns of tables", async () => {
    await using place = await emptyPlace();
    await restoreBackup(await contents(), place.target, { to: toFork });
    await using restored = await place.open();
    const { custody } = restored;
    const { clock } = installation;
    const key = `key ${early.receivedAt}`;
    const again = await custody.commit(
      scope,
      [
        { type: "sample/assets", put: [asset("db", 1), asset("web", 1)] },
        { type: "sample/users", put: [{ fields: { id: "u1", login: "ana" } }] },
      ],
      { idempotencyKey: key },
    );
    expect(again).toEqual({ ...early, isReplay: true });
    expect(clock.nowMs).toBeGreaterThan(early.receivedAt);
    const repeated = await custody.commit(scope, [
      { type: "sample/dossiers", put: [dossier("d1", "ana"), dossier("d2", "bob")] },
    ]);
    expect(repeated.duplicates).toEqual({ "sample/dossiers": 2 });
    const taken = [{ type: "sample/users", put: [{ fields: { id: "u2", login: "ana" } }] }];
    await expect(custody.commit(scope, taken)).rejects.toMatchObject({ code: "conflict" });
  }, 60_000);

  test("keeps what outlives a restore: holds made and released since, where what they name is gone too", async () => {
    await using place = await emptyPlace();
    const report = await restoreBackup(await contents(), place.target, {
      to: { time: early.receivedAt - 1 },
      tenant: "acme",
      live,
    });
    expect(report.tenants.at(-1)?.carriedOver).toEqual({ "sample/holds": 2 });
    await using restored = await place.open();
    const { records } = await restored.custody.find(scope, "sample/holds");
    expect(records.map(({ id, fields }) => [id, fields["is_released"]])).toEqual([
      ["h1", true],
      ["h2", false],
    ]);
    expect((await restored.custody.verify(scope)).fault).toBeUndefined();
    expect((await restored.custody.find(scope, "sample/assets")).records).toEqual([]);
  }, 60_000);

  test("can be restored from in turn: also to before its own fork", async () => {
    await using first = await emptyPlace();
    await restoreBackup(await contents(), first.target, { to: toFork });
    await using one = await first.open();
    await one.custody.commit(scope, [{ type: "sample/assets", put: [asset("new", 3)] }]);
    const from = { journal: await one.stores.journal(), blob: await one.stores.blob() };
    for (const to of ["latest", { time: early.receivedAt }] as const) {
      await using second = await emptyPlace();
      await restoreBackup(await contents(from), second.target, { to });
      await using two = await second.open();
      expect((await two.custody.verify(scope, { allTenants: true })).fault).toBeUndefined();
      const names = (await two.custody.find(scope, "sample/assets")).records.map(({ id }) => id);
      expect(names.toSorted()).toEqual(to === "latest" ? ["db", "new", "web"] : ["db", "web"]);
      const bundle = await two.custody.proof(scope, "sample/assets", "web");
      expect(bundle.restores).toHaveLength(to === "latest" ? 2 : 1);
      expect(verifyBundle(bundle).fault).toBeUndefined();
    }
  }, 60_000);
});

describe("an erasure", () => {
  test("reaches backups taken before: the person and the file stay unreadable, and an import does not bring them back", async () => {
    await using place = await emptyPlace();
    const { keys } = place.target;
    await using living = await keysOf(installation);
    const subject = await subjectOf("d2");
    await keys.destroySubjectKey("acme", subject);
    await keys.destroyOriginalKey("acme", "originals/secret");
    expect(await living.isSubjectDestroyed("acme", subject)).toBe(false);
    const report = await restoreBackup(await contents(), place.target, { to: toFork });
    expect(report.files.unreadable).toEqual([
      { tenant: "acme", key: "originals/secret", isErased: true },
    ]);
    expect(report.tenants.map(({ erased, keyless }) => [erased, keyless])).toEqual([[1, 0]]);
    await using restored = await place.open();
    const { custody } = restored;
    expect((await custody.get(scope, "sample/dossiers", "d2"))?.fields).not.toHaveProperty(
      "person",
    );
    expect(await custody.blob.get(scope, "originals/secret")).toBeUndefined();
    const again = [{ type: "sample/dossiers", put: [dossier("d2", "bob")] }];
    const receipt = await custody.commit(scope, again, { onBad: "reject" });
    expect([receipt.duplicates, receipt.rejected]).toEqual([{ "sample/dossiers": 1 }, {}]);
    expect((await custody.get(scope, "sample/dossiers", "d2"))?.fields).not.toHaveProperty(
      "person",
    );
  }, 60_000);
});

test("keys of people and files that the key backup lacks are not taken for erasures", async () => {
  const directory = makeMemoryDirectory("custody-keys-");
  try {
    cpSync(join(installation.directory, "keys"), join(directory, "keys"), { recursive: true });
    for (const kind of ["subjects", "originals"])
      rmSync(join(directory, "keys", "acme", kind), { recursive: true });
    await using place = await openRestorePlace(
      { ...installation, directory },
      { packs: [historyPack] },
    );
    const report = await restoreBackup(await contents(), place.target, { to: toFork });
    expect(report.tenants.map(({ erased, keyless }) => [erased, keyless])).toEqual([[0, 2]]);
    expect(report.files.unreadable).toEqual([
      { tenant: "acme", key: "originals/secret", isErased: false },
      { tenant: "acme", key: "reports/one.txt", isErased: false },
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 60_000);

test("what an import answered is told again only where the restored journal has that import", async () => {
  await using place = await emptyPlace();
  const source = await contents();
  const state = async function* () {
    yield { name: "import/later", value: "an import after the cut" };
    yield { name: "other/name", value: "kept" };
  };
  await restoreBackup({ ...source, state }, place.target, { to: toFork });
  const { journal } = place.target;
  expect(await journal.state(scope, "import/later")).toBeUndefined();
  expect(await journal.state(scope, "other/name")).toBe("kept");
});

test("records of a type that is newer than this Custody knows are not restored as an older one", async () => {
  await using newer = await openInstallation({ packs: [historyPack] });
  const part = {
    type: "sample/notes",
    put: [{ fields: { id: "n1", words: "two words", length: 9 } }],
  };
  await newer.custody.commit(scope, [part]);
  const { stores } = newer;
  const source = await contents({ journal: await stores.journal(), blob: await stores.blob() });
  await using place = await openRestorePlace(newer, { packs: [historyPackV1] });
  await expect(restoreBackup(source, place.target, { to: "latest" })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(
      /is of sample\/notes version 2, and this Custody knows version 1; repeat the restore with/,
    ) as unknown,
  });
}, 60_000);

/** The pseudonym that a dossier's line names. */
async function subjectOf(id: string): Promise<string> {
  const bundle = await installation.custody.proof(scope, "sample/dossiers", id);
  const line: unknown = JSON.parse(Buffer.from(bundle.line, "base64").toString());
  return (line as { readonly subject: string }).subject;
}

describe("a restore", () => {
  test("is refused where anything is, and for a point that the backup does not reach", async () => {
    await using place = await emptyPlace();
    const source = await contents();
    const { target } = place;
    await expect(
      restoreBackup(source, target, { to: { sequence: 999 }, tenant: "acme" }),
    ).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/holds \d+ entries/) as unknown,
    });
    await expect(restoreBackup(source, target, { to: { sequence: 1 } })).rejects.toMatchObject({
      code: "usage",
    });
    await expect(
      restoreBackup(source, { ...target, ...live }, { to: "latest" }),
    ).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/never replaces anything/) as unknown,
    });
  });

  test("to a sequence within a commit takes the commits before it", async () => {
    await using place = await emptyPlace();
    const { tenants } = await restoreBackup(await contents(), place.target, {
      to: { sequence: 1 },
      tenant: "acme",
    });
    expect(tenants.map(({ cut }) => cut.sequence)).toEqual([0]);
    const [position] = await place.target.journal.lookup(scope, "sample/assets", ["db"]);
    expect(position).toBeUndefined();
  });
});

describe("chosen records", () => {
  test("come back beside what is alive, under their ids, and only those that differ", async () => {
    await using place = await emptyPlace();
    await restoreBackup(await contents(), place.target, { to: toFork });
    await using other = await emptyPlace();
    await restoreBackup(await contents(), other.target, { to: "latest" });
    await using alive = await other.open();
    const parts = {
      scratch: place.target,
      backupId: "b1",
      journal: await alive.stores.journal(),
      commit: (at: Scope, ...rest: [Parameters<typeof alive.custody.commit>[1], object]) =>
        alive.custody.commit(at, ...rest),
    };
    const types = ["sample/assets", "sample/attempts"];
    const counts = await restoreRecords(parts, scope, { types });
    expect(counts).toEqual({
      "sample/assets": { restored: 2, present: 0, rejected: 0, erased: 0 },
      "sample/attempts": { restored: 0, present: 40, rejected: 0, erased: 0 },
    });
    expect((await alive.custody.get(scope, "sample/assets", "web"))?.fields["risk"]).toBe(1);
    const trace = await alive.custody.trace(scope, "sample/assets", "db");
    expect(trace.entry.tool).toBe("custody restore b1");
    expect((await restoreRecords(parts, scope, { types }))["sample/assets"]).toEqual({
      restored: 0,
      present: 2,
      rejected: 0,
      erased: 0,
    });
  }, 60_000);
});
