import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { readVaultSettings } from "./vault-settings.ts";

describe("the URL of a key in Vault", () => {
  test("names server, mount and key, with TLS unless it says otherwise", () => {
    expect(
      readVaultSettings("vault://:hvs.s%2Fecret@vault.example/teams/security/transit/custody", {}),
    ).toEqual({
      host: "vault.example",
      port: 8_200,
      mount: "teams/security/transit",
      key: "custody",
      name: "vault://vault.example:8200/teams/security/transit/custody",
      token: "hvs.s/ecret",
      tls: { isVerified: true },
      timeoutMs: 30_000,
      connectMs: 10_000,
    });
    const clear = readVaultSettings("openbao://:t@[::1]:8300/transit/custody?tls=false", {});
    expect(clear).not.toHaveProperty("tls");
    expect(clear).toMatchObject({ host: "::1", name: "openbao://[::1]:8300/transit/custody" });
  });

  test("takes token and namespace from the environment where the URL has none", () => {
    const environment = { VAULT_TOKEN: "from-vault", BAO_NAMESPACE: "admin/security" };
    const url = "vault://vault.example/transit/custody";
    expect(readVaultSettings(url, environment)).toMatchObject({
      token: "from-vault",
      namespace: "admin/security",
    });
    expect(readVaultSettings(url, { VAULT_TOKEN: "", BAO_TOKEN: "from-bao" }).token).toBe(
      "from-bao",
    );
    const own = "vault://:own@vault.example/transit/custody?namespace=teams";
    expect(readVaultSettings(own, environment)).toMatchObject({ token: "own", namespace: "teams" });
  });

  test("takes a token from a file, as an agent writes it", () => {
    const folder = mkdtempSync(join(tmpdir(), "custody-vault-"));
    try {
      writeFileSync(join(folder, "token"), "hvs.of-the-agent\n");
      const url = `vault://vault.example/transit/custody?password-file=${join(folder, "token")}`;
      expect(readVaultSettings(url, {}).token).toBe("hvs.of-the-agent");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each([
    ["vault://vault.example/custody", "its path is where the transit engine is mounted"],
    ["vault://vault.example/transit/../sys", "its path is where the transit engine is mounted"],
    ["vault://vault.example/transit/a%2Fb%3Fc", "its path is where the transit engine is mounted"],
    ["vault://ana@vault.example/transit/custody", "it takes a token and no user"],
    ["vault://vault.example/transit/custody?namespace=a%0Ab", "namespace is one such as"],
    ["vault://vault.example/transit/custody?region=x", 'it has no option "region"'],
  ])("%s is refused", (url, why) => {
    expect(() => readVaultSettings(url, { VAULT_TOKEN: "t" })).toThrow(why);
  });

  test("without a token, or with one that no header takes, it is refused and not repeated", () => {
    const url = "vault://vault.example/transit/custody";
    expect(() => readVaultSettings(url, {})).toThrow("it has no token: set VAULT_TOKEN");
    const broken = { VAULT_TOKEN: "hvs.secret\r\nX-Evil: 1" };
    expect(() => readVaultSettings(url, broken)).toThrow(
      /^the URL of Vault cannot be used: its token has characters that no token has$/,
    );
  });
});
