import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { openSqliteFile } from "../drivers/sqlite.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { withoutPrivileges } from "../testing/without-privileges.ts";
import { describeQueue } from "./conformance.ts";
import { openSqliteQueue } from "./sqlite.ts";

const scope = scopeFor("tenant-a");
const module = new URL("./sqlite.ts", import.meta.url).href;
const task = { id: "t", payload: Uint8Array.of(1) };

describeQueue("sqlite", async (clock) => {
  const directory = await makeTemporaryDirectory();
  const options = { directory: directory.path, clock };
  let queue = await openSqliteQueue(options);
  return {
    queue,
    async reopen() {
      await queue[Symbol.asyncDispose]();
      queue = await openSqliteQueue(options);
      return queue;
    },
    childQueue: `(await import("${module}")).openSqliteQueue({
      directory: ${JSON.stringify(directory.path)}, clock: () => 1000 })`,
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
});

test("a file that is no database is reported as corrupt", async () => {
  await using directory = await makeTemporaryDirectory();
  const options = { directory: directory.path, clock: () => 1_000 };
  const queue = await openSqliteQueue(options);
  await queue.enqueue(scope, "q", task);
  await queue[Symbol.asyncDispose]();
  const file = join(directory.path, "tenants", "tenant-a", "queue.sqlite");
  await writeFile(file, "no database".repeat(1_000));
  await using reopened = await openSqliteQueue(options);
  await expect(reopened.enqueue(scope, "q", task)).rejects.toMatchObject({
    name: "StoreError",
    code: "corrupt",
  });
});

test("a file that may not be written is reported as read-only", async () => {
  await using directory = await makeTemporaryDirectory();
  const options = { directory: directory.path, clock: () => 1_000 };
  const queue = await openSqliteQueue(options);
  await queue.enqueue(scope, "q", task);
  await queue[Symbol.asyncDispose]();
  const tenant = join(directory.path, "tenants", "tenant-a");
  await chmod(directory.path, 0o755);
  await chmod(join(tenant, "queue.sqlite"), 0o444);
  await chmod(tenant, 0o555);
  await withoutPrivileges(async () => {
    await using reopened = await openSqliteQueue(options);
    await expect(reopened.enqueue(scope, "q", { ...task, id: "another" })).rejects.toMatchObject({
      name: "StoreError",
      code: "read-only",
    });
  });
  await chmod(tenant, 0o755);
});

test("a file that another connection holds for too long is reported as unavailable", async () => {
  await using directory = await makeTemporaryDirectory();
  await using queue = await openSqliteQueue({
    directory: directory.path,
    clock: () => 1_000,
    busyMs: 10,
  });
  await queue.enqueue(scope, "q", task);
  const path = join(directory.path, "tenants", "tenant-a", "queue.sqlite");
  const holder = openSqliteFile({ path, durability: "journal" });
  holder.exec("BEGIN IMMEDIATE");
  await expect(queue.enqueue(scope, "q", { ...task, id: "u" })).rejects.toMatchObject({
    name: "StoreError",
    code: "unavailable",
    retryable: true,
  });
  holder.exec("ROLLBACK");
  holder.close();
  expect(await queue.enqueue(scope, "q", { ...task, id: "u" })).toBe(true);
});
