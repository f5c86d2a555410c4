// Takes tables away from a server behind Custody's back.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { initCustody, openCustody } from "@custody/server/compose";
import { describeOnServer } from "@custody/stores/testing/engine-server";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";

import { countsByRole, EVIDENCE, manyEvidence, scope } from "./evidence.ts";
import { freshDatabase, onPostgresql } from "./postgresql-installation.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "custody-lost-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describeOnServer("postgresql", (server) => {
  test("a projection's schema that somebody dropped is filled again from the journal", async () => {
    const database = await freshDatabase(server, onTestFinished);
    const place = {
      dataDirectory: join(root, "data"),
      keyFile: join(root, "root.key"),
      engines: onPostgresql(database.url()),
    };
    await initCustody(place);
    {
      await using custody = await openCustody(place);
      await custody.commit(scope, [{ type: EVIDENCE, put: manyEvidence(0, 500, 100) }]);
      await custody.catchUp(scope);
    }
    const schemas = await database.run(
      "SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'",
    );
    const names = schemas.map(({ name }) => String(name));
    const series = names.filter((name) => name.includes("series"));
    expect(series.length).toBeGreaterThan(0);
    for (const name of series) await database.run(`DROP SCHEMA "${name}" CASCADE`);
    await using custody = await openCustody(place);
    await custody.commit(scope, [{ type: EVIDENCE, put: manyEvidence(500, 100, 100) }]);
    await custody.catchUp(scope);
    expect(await countsByRole(custody)).toMatchObject({ series: 600, relational: 600 });
    expect(await custody.reconcile(scope)).toMatchObject({ ok: true });
  }, 120_000);
});
