import { spawn } from "node:child_process";
import { chmod, readdir, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { join } from "node:path";

import { expect, test } from "vitest";

import { LadybugHost } from "../drivers/ladybug-host.ts";
import { scopeFor } from "../testing/scope.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { withoutPrivileges } from "../testing/without-privileges.ts";
import { collection } from "./conformance-fixture.ts";
import { describeGraph } from "./conformance.ts";
import { openLadybugGraph } from "./ladybug.ts";
import type { GraphStore } from "./port.ts";

const module = new URL("./ladybug.ts", import.meta.url).href;
const sizeMax = 2 ** 30;

describeGraph("ladybug", async () => {
  const directory = await makeTemporaryDirectory();
  const options = { directory: directory.path, sizeMax };
  const tenant = join(directory.path, "tenants", "tenant-a");
  const file = join(tenant, "graph-1-1.lbug");
  const open: GraphStore[] = [await openLadybugGraph(options)];
  return {
    store: open[0] as GraphStore,
    async reopen() {
      for (const store of open.splice(0)) await store[Symbol.asyncDispose]();
      const store = await openLadybugGraph(options);
      open.push(store);
      return store;
    },
    childStore: childStore(directory.path),
    async alter(statement) {
      await using host = new LadybugHost({ bufferPoolBytes: 2 ** 25, sizeMax });
      await host.file(file).write("alter", (session) => session.run(statement));
    },
    faults: {
      async corrupt(work) {
        await writeFile(file, Buffer.alloc(8_192, 0x41));
        await work();
      },
      async readOnly(work) {
        await chmod(directory.path, 0o755);
        await chmod(file, 0o444);
        await chmod(tenant, 0o555);
        await withoutPrivileges(work);
        await chmod(tenant, 0o755);
      },
      lock: (work) => withLock(directory.path, work),
    },
    async [Symbol.asyncDispose]() {
      for (const store of open.splice(0)) await store[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
});

function childStore(directory: string): string {
  return `(await import("${module}")).openLadybugGraph(${JSON.stringify({ directory, sizeMax })})`;
}

/** Runs work while another process has the graph open. */
async function withLock(directory: string, work: () => Promise<void>): Promise<void> {
  const source = `const store = await (${childStore(directory)});
    const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
    await store.checkpoint(scope, ${JSON.stringify(collection)});
    process.stdout.write("open\\n");
    setInterval(() => {}, 1000);`;
  const child = spawn(
    process.execPath,
    ["--conditions=source", "--input-type=module", "--eval", source],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise((resolve) => child.once("close", resolve));
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === "open") break;
    }
    await work();
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

test("each tenant and each owner has a file of its own, and no owner's name is in a path", async () => {
  await using directory = await makeTemporaryDirectory();
  const ownerSalt = Uint8Array.of(1, 2, 3);
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax, ownerSalt });
  for (const owner of ["ana", "ben"]) {
    const scope = scopeFor("tenant-a", owner);
    await store.prepare(scope, collection);
    await store.apply(scope, collection, { batches: [], checkpoint: owner === "ana" ? 1 : 2 });
  }
  expect(await store.checkpoint(scopeFor("tenant-a", "ana"), collection)).toBe(1);
  expect(await store.checkpoint(scopeFor("tenant-a", "ben"), collection)).toBe(2);
  expect(await store.checkpoint(scopeFor("tenant-a"), collection)).toBe(0);
  const owners = await readdir(join(directory.path, "tenants", "tenant-a", "owners"));
  expect(owners.filter((name) => /^[0-9a-f]{64}$/.test(name))).toHaveLength(2);
});

test("without an owner salt an owner's graph is refused", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax });
  await expect(store.prepare(scopeFor("tenant-a", "ana"), collection)).rejects.toMatchObject({
    code: "unsupported",
  });
});

test("more tenants than may be open at once are all served", async () => {
  await using directory = await makeTemporaryDirectory();
  await using store = await openLadybugGraph({ directory: directory.path, sizeMax, openMax: 2 });
  const tenants = ["t1", "t2", "t3", "t4", "t5"];
  for (const [index, tenant] of tenants.entries()) {
    const delivery = { batches: [], checkpoint: index + 1 };
    await store.apply(scopeFor(tenant), collection, delivery);
  }
  const checkpoints = [];
  for (const tenant of tenants) {
    checkpoints.push(await store.checkpoint(scopeFor(tenant), collection));
  }
  expect(checkpoints).toEqual([1, 2, 3, 4, 5]);
});
