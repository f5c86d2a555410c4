import { randomUUID } from "node:crypto";

import { describe, expect, test } from "vitest";

import { describeOnServer } from "../testing/engine-server.ts";
import { vaultKeys } from "../testing/vault-server.ts";
import { describeWrapping } from "./conformance.ts";
import { openVault } from "./vault.ts";

const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index);
const CONTEXT = { "custody-purpose": "key-backup", "custody-root-key": "0123456789abcdef" };
const OTHER = { ...CONTEXT, "custody-root-key": "fedcba9876543210" };

describeOnServer("vault", (server) => {
  const keys = vaultKeys(server);
  const open = (url: string) => openVault({ url });

  describeWrapping({
    open,
    url: keys.make,
    absentUrl: async () => keys.urlOf(randomUUID()),
    deniedUrl: async () => (await keys.make()).replace(/:[^:@/]*@/, ":hvs.wrong-secret@"),
    at: (url, address, timeoutMs) =>
      `${url.replace(/@[^/]*/, `@${address}`)}&timeout=${timeoutMs}&connect-timeout=${timeoutMs}`,
    rotate: keys.rotate,
    secrets: ["wrong-secret", new URL(server).password],
  });

  describe("keys of Vault", () => {
    test.each([
      ["derive", { derived: true }],
      ["are of ChaCha20", { type: "chacha20-poly1305" }],
      ["have 128 bits", { type: "aes128-gcm96" }],
    ])("keys that %s wrap, bound to the context", async (_, options) => {
      await using service = await open(await keys.make(options));
      const wrapped = await service.wrap(SECRET, CONTEXT);
      expect(await service.unwrap(wrapped, CONTEXT)).toEqual(SECRET);
      await expect(service.unwrap(wrapped, OTHER)).rejects.toMatchObject({ code: "refused" });
    });

    test("a key that cannot bind is refused before anything is wrapped", async () => {
      await using service = await open(await keys.make({ type: "rsa-2048" }));
      await expect(service.wrap(SECRET, CONTEXT)).rejects.toMatchObject({
        code: "refused",
        message: expect.stringContaining("a key of type rsa-2048 does not bind") as string,
      });
    });

    test("a mistyped key is not made, though the token may", async () => {
      const url = keys.urlOf(`mistyped-${randomUUID()}`);
      await using service = await open(url);
      await expect(service.wrap(SECRET, CONTEXT)).rejects.toMatchObject({ code: "refused" });
      expect(await keys.isThere(url)).toBe(false);
    });

    test("a token that may only wrap and unwrap is enough", async () => {
      const url = await keys.withRights(await keys.make(), ["encrypt", "decrypt"]);
      await using service = await open(url);
      const wrapped = await service.wrap(SECRET, CONTEXT);
      expect(await service.unwrap(wrapped, CONTEXT)).toEqual(SECRET);
    });

    test("a token that may only wrap is told so when it unwraps", async () => {
      const url = await keys.withRights(await keys.make(), ["encrypt"]);
      await using service = await open(url);
      const wrapped = await service.wrap(SECRET, CONTEXT);
      await expect(service.unwrap(wrapped, CONTEXT)).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("its policy does not allow this key") as string,
      });
    });

    test("what a key may no longer decrypt is refused with the setting to change", async () => {
      const url = await keys.make();
      await using service = await open(url);
      const wrapped = await service.wrap(SECRET, CONTEXT);
      await keys.rotate(url);
      await keys.configure(url, { min_decryption_version: 2 });
      await expect(service.unwrap(wrapped, CONTEXT)).rejects.toMatchObject({
        code: "refused",
        message: expect.stringContaining("min_decryption_version") as string,
      });
    });

    test("a mount that is no transit engine is refused", async () => {
      const url = keys.urlOf("custody").replace("/transit/", "/elsewhere/");
      await using service = await open(url);
      await expect(service.wrap(SECRET, CONTEXT)).rejects.toMatchObject({ code: "refused" });
    });
  });
});
