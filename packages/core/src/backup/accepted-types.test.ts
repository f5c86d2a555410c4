import { expect, test } from "vitest";

import type { Pack } from "@custody/contract/importer";
import { defineRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import type { Custody } from "../custody.ts";
import { openBackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { openRestorePlace } from "../testing/restore-place.ts";
import { createBackup } from "./create-backup.ts";
import { openBackup } from "./open-backup.ts";
import { restoreBackup } from "./restore.ts";

const common = {
  name: "sample/rooms",
  title: "A room",
  mode: "versioned",
  id: { field: "name" },
  placements: { document: {} },
} as const;
const first = defineRecordType({
  ...common,
  version: 1,
  schema: z.object({ name: z.string(), floor: z.number() }),
});
const second = defineRecordType({
  ...common,
  version: 2,
  schema: z.object({ name: z.string(), floor: z.number(), seats: z.number() }),
  previous: first,
  upcast: (fields) => ({ ...fields, seats: 0 }),
});
const poorer = defineRecordType({ ...common, version: 1, schema: z.object({ name: z.string() }) });
const packOf = (type: RecordType): readonly Pack[] => [
  { name: "sample", types: [type], importers: [], summaries: [] },
];

const put = async (custody: Custody, fields: Readonly<Record<string, unknown>>) =>
  custody.commit(scope, [{ type: "sample/rooms", put: [{ fields }] }]);

test("whoever opens a restored journal with a type that lost a field is refused as before", async () => {
  await using installation = await openInstallation({ packs: packOf(first) });
  await put(installation.custody, { name: "a", floor: 1 });
  await using backups = await openBackupPlace(installation);
  await createBackup(backups.parts, { kind: "full" });
  await using place = await openRestorePlace(installation, { packs: packOf(first) });
  await restoreBackup(await openBackup(backups.repository, "latest"), place.target, {
    to: "latest",
  });
  await using restored = await place.open({ packs: packOf(poorer) });
  await expect(put(restored.custody, { name: "b" })).rejects.toMatchObject({
    code: "would-lose",
    message: expect.stringContaining("floor") as unknown,
  });
});

test("what is restored to before an upgrade is opened by the software of before, and not refused", async () => {
  await using installation = await openInstallation({ packs: packOf(first) });
  const early = await put(installation.custody, { name: "a", floor: 1 });
  installation.clock.nowMs += 1_000;
  await using upgraded = await installation.reopen({ packs: packOf(second) });
  await put(upgraded.custody, { name: "b", floor: 2, seats: 9 });
  await using backups = await openBackupPlace(upgraded);
  await createBackup(backups.parts, { kind: "full" });
  const source = await openBackup(backups.repository, "latest");
  for (const [to, known] of [
    [{ time: early.receivedAt }, undefined],
    ["latest", '{"version":2,"fields":["floor","name","seats"]}'],
  ] as const) {
    await using place = await openRestorePlace(upgraded, { packs: packOf(second) });
    await restoreBackup(source, place.target, { to });
    expect(await place.target.journal.state(scope, "type/sample/rooms")).toBe(known);
    await using restored = await place.open({ packs: packOf(first) });
    const written = put(restored.custody, { name: "c", floor: 3 });
    if (known === undefined) expect((await written).entries).toHaveLength(1);
    else await expect(written).rejects.toMatchObject({ code: "would-lose" });
  }
});
