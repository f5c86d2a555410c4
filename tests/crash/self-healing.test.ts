// Damages the files of projected stores, as a disk or a crash might, and waits for them to be whole again.
import { open, readdir, readFile, rm, mkdtemp, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Custody } from "@custody/core/custody";
import { initCustody, openCustody } from "@custody/server/compose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { countsByRole, EVIDENCE, evidenceId, manyEvidence, scope } from "./evidence.ts";

/** The file of each role, of which nothing else is kept in it. */
const FILES = {
  document: "document.sqlite",
  search: "search.sqlite",
  relational: "relational.sqlite",
  series: "series.duckdb",
  analytics: "analytics.duckdb",
  graph: "graph-1-1.lbug",
} as const;
type Role = keyof typeof FILES;
const ROLES = Object.keys(FILES) as Role[];
const SQLITE_ROLES = ["document", "search", "relational"] as const;

const ALL = 600;
const LARGE = 4_000;
const COUNTS = {
  document: ALL,
  search: ALL,
  series: ALL,
  relational: ALL,
  analytics: ALL,
  graph: 5,
};

let root = "";
let notices: string[] = [];
let place: Parameters<typeof openCustody>[0];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "custody-healing-"));
  notices = [];
  place = {
    dataDirectory: join(root, "data"),
    keyFile: join(root, "root.key"),
    onNotice: (text) => notices.push(text),
  };
  await initCustody(place);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const directory = (): string => join(root, "data", "tenants", scope.tenant);
const fileOf = (role: Role): string => join(directory(), FILES[role]);

async function fill(custody: Custody, from: number, to: number): Promise<void> {
  await custody.commit(scope, [{ type: EVIDENCE, put: manyEvidence(from, to - from, 200) }]);
}

/** Fills more than a store keeps in memory: what is there already is not read from the file again. */
async function fillBeyondMemory(custody: Custody): Promise<void> {
  for (let from = 0; from < LARGE; from += 1_000) {
    await custody.commit(scope, [{ type: EVIDENCE, put: manyEvidence(from, 1_000, 7_000) }]);
  }
}

async function fillAndClose(): Promise<void> {
  await using custody = await openCustody(place);
  await fill(custody, 0, ALL - 100);
  await custody.catchUp(scope);
}

/** What was set aside, without the instants. */
async function asides(): Promise<readonly string[]> {
  const names = await readdir(directory());
  const aside = names.filter((name) => /\.set-aside-\d{8}T\d{9}Z$/.test(name));
  return aside.map((name) => name.slice(0, name.indexOf(".set-aside-"))).sort();
}

async function overwrite(path: string, at: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "r+");
  await file.write(bytes, 0, bytes.byteLength, at);
  await file.close();
}

/** Overwrites a SQLite file that is open. */
async function spoilInUse(path: string): Promise<void> {
  await truncate(`${path}-wal`, 0);
  await writeFile(path, Buffer.alloc(65_536, 0xa5));
}

/** Commits, which is not to fail, and waits until every store has it and all that it had lost. */
async function expectWhole(custody: Custody): Promise<void> {
  await fill(custody, ALL - 100, ALL);
  expect((await custody.get(scope, EVIDENCE, evidenceId(ALL - 1)))?.id).toBe("r0000599");
  await custody.catchUp(scope);
  expect(await countsByRole(custody)).toEqual(COUNTS);
  const { projections } = await custody.reconcile(scope);
  expect(projections.filter(({ differences }) => differences > 0)).toEqual([]);
  expect(await custody.verify(scope)).toMatchObject({ ok: true });
  expect(await custody.quarantine.list(scope)).toEqual([]);
}

/** The audit log's records of what was set aside, by role. */
async function auditedRoles(custody: Custody): Promise<readonly string[]> {
  const { records } = await custody.find(scope, "custody/audit_logs", {
    filter: { action: "set-aside" },
    after: (await custody.status(scope)).entries,
  });
  expect(records.map(({ fields }) => fields["user_id"])).toEqual(
    records.map(() => "service:projector"),
  );
  return records.map(({ fields }) => String(fields["resource"])).sort();
}

/** Ways in which a file that nobody has open is damaged. */
const DAMAGES: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "whose beginning is rubbish": (path) => overwrite(path, 0, Buffer.alloc(12_288, 0x5a)),
  "that were cut off in the middle": async (path) => truncate(path, (await stat(path)).size >> 1),
  "that hold something else altogether": async (path) =>
    writeFile(path, Buffer.alloc((await stat(path)).size, 0xa5)),
};

describe("files of projected stores", () => {
  test.each(Object.keys(DAMAGES))(
    "%s are set aside one by one and filled again, and people are told",
    async (name) => {
      await fillAndClose();
      for (const role of ROLES) await DAMAGES[name]?.(fileOf(role));
      await using custody = await openCustody(place);
      await expectWhole(custody);
      expect(await asides()).toEqual(ROLES.map((role) => FILES[role]).sort());
      expect(await auditedRoles(custody)).toEqual(ROLES.toSorted());
      expect(notices.filter((text) => text.includes("set aside as"))).toHaveLength(ROLES.length);
    },
    120_000,
  );

  test("of which every page behind the first is empty are set aside when the pages are read", async () => {
    await fillAndClose();
    for (const role of SQLITE_ROLES) {
      const { size } = await stat(fileOf(role));
      await overwrite(fileOf(role), 16_384, Buffer.alloc(Math.max(0, size - 16_384)));
    }
    await using custody = await openCustody(place);
    await expectWhole(custody);
    expect(await asides()).toEqual(["document.sqlite", "relational.sqlite", "search.sqlite"]);
  }, 120_000);

  test("whose log is that of another file are as whole as before, set aside or not", async () => {
    await fillAndClose();
    await using other = await openCustody(place);
    const [from, to] = [fileOf("document"), fileOf("search")];
    await fill(other, ALL - 100, ALL);
    await other.catchUp(scope);
    const log = await readFile(`${from}-wal`);
    await other[Symbol.asyncDispose]();
    await writeFile(`${to}-wal`, log);
    await writeFile(`${fileOf("relational")}-wal`, log);
    await writeFile(`${fileOf("series")}.wal`, Buffer.alloc(4_096, 0xa5));
    await writeFile(`${fileOf("analytics")}.wal`, log);
    await using custody = await openCustody(place);
    await custody.catchUp(scope);
    expect(await countsByRole(custody)).toEqual(COUNTS);
    const { projections } = await custody.reconcile(scope);
    expect(projections.filter(({ differences }) => differences > 0)).toEqual([]);
  }, 120_000);

  test.each(["relational", "series", "graph"] as const)(
    "only that of the %s store is set aside where only it is damaged, and the others answer meanwhile",
    async (role) => {
      await fillAndClose();
      const before = new Map<string, number>();
      for (const other of ROLES) before.set(other, (await stat(fileOf(other))).ino);
      await DAMAGES["that hold something else altogether"]?.(fileOf(role));
      await using custody = await openCustody(place);
      const status = await custody.status(scope);
      for (const other of ROLES) {
        if (other !== role) expect(status.roles[other].records).toBeGreaterThan(0);
      }
      await expectWhole(custody);
      expect(await asides()).toEqual([FILES[role]]);
      const changed = [];
      for (const other of ROLES) {
        if ((await stat(fileOf(other))).ino !== before.get(other)) changed.push(other);
      }
      expect(changed).toEqual([role]);
    },
    60_000,
  );

  test("that are damaged while they are in use are set aside as well", async () => {
    await using custody = await openCustody(place);
    await fillBeyondMemory(custody);
    await custody.catchUp(scope);
    await spoilInUse(fileOf("document"));
    expect(await custody.reconcile(scope, { roles: ["document"] })).toMatchObject({
      ok: false,
      notCompared: [
        { reason: expect.stringContaining("is being filled again from the journal") as string },
      ],
    });
    await custody.catchUp(scope);
    expect(await custody.count(scope, EVIDENCE)).toMatchObject({ count: LARGE });
    expect(await custody.reconcile(scope)).toMatchObject({ ok: true });
    expect(await asides()).toEqual(["document.sqlite"]);
  }, 60_000);

  test("are set aside three times within an hour at most; then the store says that it is damaged", async () => {
    await using custody = await openCustody(place);
    await fillBeyondMemory(custody);
    const outcomes: unknown[] = [];
    for (let round = 1; round <= 4; round += 1) {
      await custody.catchUp(scope, ["document"]);
      await spoilInUse(fileOf("document"));
      const asked = custody.reconcile(scope, { roles: ["document"] });
      outcomes.push(await asked.then(({ notCompared }) => notCompared.length, codeOf));
    }
    expect(outcomes).toEqual([1, 1, 1, "corrupt"]);
    expect(await asides()).toEqual(["document.sqlite", "document.sqlite"]);
    // The journal goes on whatever becomes of a copy.
    await fill(custody, LARGE, LARGE + 100);
    expect((await custody.get(scope, EVIDENCE, evidenceId(LARGE + 99)))?.id).toBe("r0004099");
  }, 60_000);
});

test("a damaged journal is neither set aside nor begun anew: it is to be restored", async () => {
  await fillAndClose();
  const journal = join(root, "data", "journal.sqlite");
  await overwrite(journal, 0, Buffer.alloc(4_096, 0x5a));
  const opened = openCustody(place).then((custody) => custody[Symbol.asyncDispose]());
  await expect(opened).rejects.toMatchObject({
    name: "StoreError",
    code: "corrupt",
    message: expect.stringContaining("restore it from a backup") as string,
  });
  const names = await readdir(join(root, "data"));
  expect(names.filter((name) => name.includes("set-aside"))).toEqual([]);
}, 60_000);

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : cause;
}
