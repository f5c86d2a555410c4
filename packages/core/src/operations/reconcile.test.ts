import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterEach, beforeEach, expect, test } from "vitest";

import { makeBatch } from "@custody/stores/record-batch";

import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt, attempts, samplePack } from "../testing/sample-types.ts";

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation();
  const put = Array.from({ length: 500 }, (_, index) => ({ fields: attempt(`r${index}`) }));
  for (let from = 0; from < 500; from += 50) {
    await installation.custody.commit(scope, [
      { type: "sample/attempts", put: put.slice(from, from + 50) },
    ]);
  }
  await installation.custody.catchUp(scope);
});
afterEach(() => installation[Symbol.asyncDispose]());

const collection = {
  name: attempts.name,
  generation: 1,
  placements: { [attempts.name]: attempts.placements.document ?? {} },
};

test("hidden changes are found one for one, by kind, and repaired", async () => {
  const { custody, stores } = installation;
  const documents = await stores.projected("document");
  const changed = (id: string): object => ({ ...attempt(id), score: 0.75 });
  await documents.repair(
    scope,
    collection,
    makeBatch(attempts.name, [
      { id: "r3", sequence: 1 },
      { id: "r77", sequence: 2, text: JSON.stringify(changed("r77")) },
      { id: "r99", sequence: 1, text: JSON.stringify(attempt("r99")) },
      { id: "ghost", sequence: 4, text: JSON.stringify(attempt("ghost")) },
    ]),
  );
  const report = await custody.reconcile(scope, { roles: ["document"] });
  const [projection] = report.projections.filter(({ name }) => name === attempts.name);
  expect(report.ok).toBe(false);
  expect(projection?.differences).toBe(4);
  const kinds = Object.fromEntries(projection?.examples.map(({ id, kind }) => [id, kind]) ?? []);
  expect(kinds).toEqual({ r3: "missing", r77: "altered", r99: "stale", ghost: "extra" });
  expect((await custody.reconcile(scope, { roles: ["document"], repair: true })).ok).toBe(true);
  expect(await custody.reconcile(scope, { roles: ["document"] })).toMatchObject({ ok: true });
});

test("a changed summary is found and mended by building it anew", async () => {
  const { directory } = installation;
  await installation.custody[Symbol.asyncDispose]();
  const database = new DatabaseSync(join(directory, "tenants", "acme", "relational.sqlite"));
  const table = database
    .prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'sample__attempts_by_model%'",
    )
    .all()
    .map((row) => String(row["name"]))
    .find((name) => !name.includes("counts"));
  database.exec(`DELETE FROM "${table}"`);
  database.close();
  installation = await installation.reopen({ packs: [samplePack] });
  const report = await installation.custody.reconcile(scope, { roles: ["relational"] });
  expect(report.ok).toBe(false);
  const repaired = await installation.custody.reconcile(scope, {
    roles: ["relational"],
    repair: true,
  });
  expect(repaired.ok).toBe(true);
  expect((await installation.custody.reconcile(scope, { roles: ["relational"] })).ok).toBe(true);
});
