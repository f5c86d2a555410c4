import { expect, test } from "vitest";

import { openInstallation, scope } from "../testing/installation.ts";

test("without a server for its stream an installation takes no evidence in, and tells nobody", async () => {
  await using installation = await openInstallation();
  const { custody } = installation;
  await expect(
    custody.consume(scope, { topic: "t", type: "sample/attempts" }, { maxMessages: 1 }),
  ).rejects.toMatchObject({ name: "StoreError", code: "unsupported" });
  expect((await custody.find(scope, "custody/audit_logs")).records).toEqual([]);
  expect((await custody.status(scope)).roles.stream).toMatchObject({ lag: 0, condition: "ok" });
});
