import { createHash } from "node:crypto";

import { openS3BlobStore } from "@custody/stores/blob/s3";
import { describeOnServer, serverName } from "@custody/stores/testing/engine-server";
import { expect, test } from "vitest";

import { openBackupPlace } from "../testing/backup-place.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";
import { createBackup } from "./create-backup.ts";
import { openBackup } from "./open-backup.ts";
import { pruneBackups } from "./prune-backups.ts";
import { verifyBackup } from "./verify-backup.ts";

const bulk = (prefix: string) => ({
  type: "sample/attempts",
  put: Array.from({ length: 40 }, (_, index) => ({
    fields: attempt(`${prefix}-${index}`, {
      prompt: createHash("shake256", { outputLength: 1_000 })
        .update(`${prefix}${index}`)
        .digest("hex"),
    }),
  })),
});

describeOnServer("s3", (server) => {
  const [address = "", options = ""] = server.split("?", 2);
  const urlOf = (prefix: string): string =>
    `${address}/custody-test/${prefix}?${[options, "create=true"].filter(Boolean).join("&")}`;

  test("a bucket takes full and incremental backups, finds what was changed, and is pruned", async () => {
    await using installation = await openInstallation();
    await using bucket = await openS3BlobStore({
      url: urlOf(`${serverName(installation.directory)}/backups`),
    });
    await using place = await openBackupPlace(installation, undefined, bucket);
    const { repository, parts } = place;
    const { custody } = installation;
    await custody.commit(scope, [bulk("a")]);
    await custody.blob.put(scope, "note", text("a note"));
    const first = await createBackup(parts, { kind: "full" });
    await custody.commit(scope, [bulk("b")]);
    await custody.compact(scope);
    const second = await createBackup(parts, { kind: "incremental" });
    expect(second.manifest.parent).toBe(first.manifest.backupId);
    for (const { manifest } of [first, second])
      expect(await verifyBackup(repository, manifest.backupId)).toMatchObject({ ok: true });
    const contents = await openBackup(repository, "latest");
    let entries = 0;
    for await (const { sequence } of contents.entries("acme", { after: 0 })) {
      entries += 1;
      expect(sequence).toBe(entries);
    }
    expect(entries).toBe(second.manifest.tenants[0]?.head.sequence);

    const { deleted, swept } = await pruneBackups(repository, {
      keep: () => [second.manifest.backupId],
    });
    expect(deleted).toEqual([first.manifest.backupId]);
    expect(swept.objects).toBeGreaterThan(0);
    expect(await verifyBackup(repository, "latest")).toMatchObject({ ok: true });

    const [damaged] = await bucket.list(repository.scope, "objects/", { limit: 1 });
    const key = damaged?.key ?? "";
    const bytes = Buffer.from((await bucket.read(repository.scope, key)) ?? []);
    bytes.writeUInt8(bytes.readUInt8(50) ^ 1, 50);
    await bucket.put(repository.scope, key, bytes);
    expect(await verifyBackup(repository, "latest")).toMatchObject({
      ok: false,
      fault: { at: expect.stringContaining(key.slice(-64)) as string },
    });
    for (const prefix of ["objects/", "manifests/", "pending/", "repository"])
      for (const blob of await bucket.list(repository.scope, prefix, { limit: 1_000 }))
        await bucket.delete(repository.scope, blob.key);
  });
});

async function* text(value: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(value);
}
