import { hash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { openBackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import { once } from "./backup-objects.ts";
import { createBackup } from "./create-backup.ts";
import { verifyBackup } from "./verify-backup.ts";

const one = (id: string) => ({ type: "sample/attempts", put: [{ fields: attempt(id) }] });

describe("objects that are there already", () => {
  test.each<readonly [string, "full" | "incremental", (bytes: Buffer) => Buffer | undefined]>([
    ["a full backup writes anew what was damaged", "full", (bytes) => bytes.fill(0, 40, 41)],
    ["an incremental backup writes anew what is missing", "incremental", () => undefined],
    [
      "an incremental backup writes anew what was cut off",
      "incremental",
      (bytes) => bytes.subarray(0, -1),
    ],
  ])("%s", async (_name, kind, damage) => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const { custody } = installation;
    await custody.commit(scope, [one("a")]);
    await custody.blob.put(scope, "note", once(Buffer.from("a note")));
    await createBackup(place.parts, { kind: "full" });
    const { blob, scope: own, objects } = place.repository;
    const note = (await place.parts.blob.read(scope, "note")) ?? Buffer.of();
    const name = objects.nameOf(hash("sha256", note, "hex"));
    const key = `objects/${name.slice(0, 2)}/${name}`;
    const whole = Buffer.from((await blob.read(own, key)) ?? []);
    const damaged = damage(Buffer.from(whole));
    await (damaged === undefined ? blob.delete(own, key) : blob.put(own, key, damaged));
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({
      ok: false,
      fault: { at: expect.stringContaining(name) as string },
    });
    const { written } = await createBackup(place.parts, { kind });
    expect(written.objects).toBe(1);
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });

  test("a full backup writes nothing that it can read back", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    await installation.custody.commit(scope, [one("a")]);
    await createBackup(place.parts, { kind: "full" });
    const { manifest, written } = await createBackup(place.parts, { kind: "full" });
    expect(manifest).toMatchObject({ kind: "full", parent: null });
    expect(written).toEqual({ objects: 0, bytes: 0 });
  });

  test("a pack that is missing is written again, with those behind it", async () => {
    await using installation = await openInstallation();
    await using place = await openBackupPlace(installation);
    const packs: string[] = [];
    for (const id of ["a", "b", "c"]) {
      await installation.custody.commit(scope, [one(id)]);
      const { manifest } = await createBackup(place.parts, { kind: "incremental" });
      packs.push(manifest.tenants[0]?.packs.at(-1)?.object ?? "");
    }
    const { blob, scope: own } = place.repository;
    await blob.delete(own, `objects/${packs[1]?.slice(0, 2)}/${packs[1]}`);
    const { manifest } = await createBackup(place.parts, { kind: "incremental" });
    expect(manifest.tenants[0]?.packs.map(({ from, to }) => [from, to])).toEqual([
      [1, 1],
      [2, 3],
    ]);
    expect(await verifyBackup(place.repository, "latest")).toMatchObject({ ok: true });
  });
});
