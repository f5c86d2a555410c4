import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { JournalStore } from "@custody/stores/relational/journal";

import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";

const STATE = "projection/document/sample/assets";
const TYPE = "type/sample/assets";
const LATER = { generation: 2, fingerprint: "a later mapping", placements: {} };

let installation: Installation;
let journal: JournalStore;
beforeEach(async () => {
  installation = await openInstallation();
  journal = await installation.stores.journal();
  await put("db");
  await installation.custody.catchUp(scope, ["document"]);
});
afterEach(() => installation[Symbol.asyncDispose]());

async function put(name: string): Promise<void> {
  await installation.custody.commit(scope, [
    { type: "sample/assets", put: [{ fields: { name, owner: "ops", risk: 1 } }] },
  ]);
}

/** What is recorded of the projection's builds. */
async function recorded(): Promise<Record<string, unknown>> {
  return JSON.parse((await journal.state(scope, STATE)) ?? "{}") as Record<string, unknown>;
}

/** Does what a process does that is started with a later version of the type. */
async function declareLater(): Promise<void> {
  const known = JSON.parse((await journal.state(scope, TYPE)) ?? "{}") as Record<string, unknown>;
  await journal.putState(scope, TYPE, JSON.stringify({ ...known, version: 2 }));
}

describe("a process that runs beside one with later versions of the types", () => {
  test("leaves that one's build to it, and goes on with its own", async () => {
    const before = await recorded();
    await declareLater();
    await journal.putState(scope, STATE, JSON.stringify({ ...before, building: LATER }));
    await put("web");
    await installation.custody.catchUp(scope, ["document"]);
    expect(await recorded()).toEqual({ ...before, building: LATER });
    expect((await installation.custody.count(scope, "sample/assets")).count).toBe(2);
  });

  test("neither fills nor replaces what that one has put in place, and says why", async () => {
    const { active } = await recorded();
    const switched = { active: LATER, previous: active };
    await declareLater();
    await journal.putState(scope, STATE, JSON.stringify(switched));
    const refusal = {
      code: "failed",
      message: expect.stringContaining(
        "document sample/assets is kept by later versions of its types than this process has",
      ) as string,
    };
    const { custody } = installation;
    await expect(custody.catchUp(scope, ["document"])).rejects.toMatchObject(refusal);
    await expect(custody.rebuild(scope, ["document"])).rejects.toMatchObject(refusal);
    expect(await recorded()).toEqual(switched);
  });
});
