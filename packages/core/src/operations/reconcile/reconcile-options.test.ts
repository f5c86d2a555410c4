import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import type { Collection } from "@custody/stores/projected-store";
import { makeBatch } from "@custody/stores/record-batch";

import { openInstallation, scope } from "../../testing/installation.ts";
import type { Installation } from "../../testing/installation.ts";
import { attempt, attempts } from "../../testing/sample-types.ts";

const MARCH = Date.parse("2026-03-20T00:00:00Z");
const APRIL = Date.parse("2026-04-10T00:00:00Z");
const MAY = Date.parse("2026-05-02T00:00:00Z");

const collection: Collection<object> = {
  name: attempts.name,
  generation: 1,
  placements: { [attempts.name]: attempts.placements.document ?? {} },
};

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation();
});
afterEach(() => installation[Symbol.asyncDispose]());

const put = async (at: number, ids: readonly string[], tenant = scope.tenant): Promise<void> => {
  installation.clock.nowMs = at;
  const records = ids.map((id) => ({ fields: attempt(id) }));
  await installation.custody.commit({ ...scope, tenant }, [{ type: attempts.name, put: records }]);
  await installation.custody.catchUp({ ...scope, tenant });
};

const lose = async (changes: readonly [string, number][], tenant = scope.tenant): Promise<void> => {
  const documents = await installation.stores.projected("document");
  const gone = changes.map(([id, sequence]) => ({ id, sequence }));
  await documents.repair({ ...scope, tenant }, collection, makeBatch(attempts.name, gone));
};

const documents = { roles: ["document"] } as const;

test("what was compared and what differs is told by month of receipt", async () => {
  await put(MARCH, ["m1", "m2", "m3"]);
  await put(APRIL, ["a1", "a2"]);
  await put(MAY, ["y1"]);
  await lose([
    ["m2", 1],
    ["m3", 1],
    ["y1", 3],
  ]);
  for (const options of [documents, { ...documents, deep: true }, documents]) {
    const report = await installation.custody.reconcile(scope, options);
    const [found] = report.projections.filter(({ name }) => name === attempts.name);
    expect(found).toMatchObject({
      tenant: "acme",
      types: ["sample/attempts"],
      records: 6,
      differences: 3,
      months: [
        { month: "2026-03", records: 3, differences: 2 },
        { month: "2026-04", records: 2, differences: 0 },
        { month: "2026-05", records: 1, differences: 1 },
      ],
    });
  }
});

test("a range of the journal is compared and repaired alone", async () => {
  await put(MARCH, ["m1", "m2"]);
  await put(APRIL, ["a1", "a2", "a3"]);
  await put(MAY, ["y1"]);
  await lose([
    ["m1", 1],
    ["a1", 2],
    ["a3", 2],
    ["y1", 3],
  ]);
  const within = { since: APRIL, until: MAY, ...documents };
  const report = await installation.custody.reconcile(scope, { ...within, repair: true });
  const [found] = report.projections.filter(({ name }) => name === attempts.name);
  expect(found).toMatchObject({
    records: 3,
    differences: 2,
    repaired: 2,
    months: [{ month: "2026-04", records: 3, differences: 2 }],
  });
  const all = await installation.custody.reconcile(scope, documents);
  const left = all.projections.flatMap(({ examples }) => examples.map(({ id }) => id));
  expect(left).toEqual(["m1", "y1"]);
});

test("a range that ends before it begins is refused", async () => {
  await expect(
    installation.custody.reconcile(scope, { since: MAY, until: APRIL }),
  ).rejects.toMatchObject({ code: "usage" });
});

test("all tenants are compared, and each tells of its own", async () => {
  await put(MARCH, ["m1", "m2"]);
  await put(MARCH, ["b1", "b2", "b3"], "beta");
  await lose([["b2", 1]], "beta");
  const { custody } = installation;
  expect((await custody.reconcile(scope, documents)).ok).toBe(true);
  const report = await custody.reconcile(scope, { ...documents, allTenants: true, repair: true });
  const told = report.projections
    .filter(({ name }) => name === attempts.name)
    .map(({ tenant, records, differences, repaired }) => [tenant, records, differences, repaired]);
  expect(told).toEqual([
    ["acme", 2, 0, 0],
    ["beta", 3, 1, 1],
  ]);
  // Each tenant's journal tells what was done to it.
  const { records } = await custody.find({ ...scope, tenant: "beta" }, "custody/audit_logs", {
    filter: { action: "reconcile" },
  });
  expect(records.map(({ fields }) => fields)).toMatchObject([
    {
      action: "reconcile",
      outcome: "done",
      metadata: {
        differences: 1,
        repaired: 1,
        found: [{ role: "document", missing: 1, examples: [{ kind: "missing", id: "b2" }] }],
      },
    },
  ]);
});

test("a run that was stopped is continued with the projection after", async () => {
  await put(MARCH, ["m1", "m2"]);
  const { custody } = installation;
  const stopping = new AbortController();
  const first = custody.reconcile(scope, {
    resume: true,
    signal: stopping.signal,
    onProgress: ({ phase, done }) => {
      if (phase === "stores" && done === 2) stopping.abort();
    },
  });
  await expect(first).rejects.toMatchObject({ code: "failed" });
  let left = 0;
  const second = await custody.reconcile(scope, {
    resume: true,
    onProgress: ({ phase, of }) => {
      if (phase === "stores") left = of;
    },
  });
  expect(left).toBe(second.projections.length - 2);
  const names = second.projections.map(({ role, name }) => `${role} ${name}`);
  expect(new Set(names).size).toBe(names.length);
  // A run that came to its end is not continued.
  let again = 0;
  await custody.reconcile(scope, {
    resume: true,
    onProgress: ({ phase, of }) => {
      if (phase === "stores") again = of;
    },
  });
  expect(again).toBe(second.projections.length);
});

test("progress tells of the journal and of each store to its end", async () => {
  await put(MARCH, ["m1", "m2"]);
  const told: string[] = [];
  await installation.custody.reconcile(scope, {
    roles: ["document", "search"],
    deep: true,
    onProgress: ({ tenant, phase, done, of }) => told.push(`${tenant} ${phase} ${done}/${of}`),
  });
  expect(told).toContain("acme journal 1/1");
  expect(told.at(-3)).toBe("acme stores 2/2");
  expect(told.slice(-2)).toEqual(["acme files 0/1", "acme files 1/1"]);
});

test("a deep comparison names the segment whose bytes were changed", async () => {
  const { custody, directory } = installation;
  await put(MARCH, ["m1", "m2"]);
  await custody.compact(scope);
  const clean = await custody.reconcile(scope, { ...documents, deep: true });
  expect(clean.files).toMatchObject({ segments: 1, faults: [] });
  const [file] = filesUnder(join(directory, "tenants", "acme", "blobs"));
  const bytes = readFileSync(file ?? "");
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  writeFileSync(file ?? "", bytes);
  expect((await custody.reconcile(scope, documents)).ok).toBe(true);
  const report = await custody.reconcile(scope, { ...documents, deep: true });
  expect(report.ok).toBe(false);
  expect(report.files?.faults.map(({ kind, reason }) => [kind, reason])).toEqual([
    ["segment", "its bytes are not those that were committed"],
  ]);
});

function filesUnder(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
