import { randomUUID } from "node:crypto";

import { describe, expect, test } from "vitest";

import { describeOnServer } from "../testing/engine-server.ts";
import { kmsKeys } from "../testing/kms-server.ts";
import { openAwsKms } from "./aws-kms.ts";
import { describeWrapping } from "./conformance.ts";

const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index);
const CONTEXT = { "custody-root-key": "0123456789abcdef" };

describeOnServer("kms", (server) => {
  const keys = kmsKeys(server);
  const open = (url: string) => openAwsKms({ url });

  describeWrapping({
    open,
    url: keys.make,
    absentUrl: async () => keys.urlOf("11111111-2222-3333-4444-555555555555"),
    at: (url, address, timeoutMs) =>
      url.replace(/endpoint=.*/, `endpoint=http://${address}&timeout=${timeoutMs}`),
    rotate: keys.rotate,
    secrets: ["testbed-password"],
  });

  describe("a key by another name", () => {
    test("an alias that was pointed at another key opens what it wrapped before", async () => {
      const alias = await keys.alias(`custody-${randomUUID()}`, await keys.make());
      await using service = await open(alias);
      const before = await service.wrap(SECRET, CONTEXT);
      await keys.point(alias, await keys.make());
      expect(await service.unwrap(before, CONTEXT)).toEqual(SECRET);
      const after = await service.wrap(SECRET, CONTEXT);
      expect(await service.unwrap(after, CONTEXT)).toEqual(SECRET);
    });
  });
});
