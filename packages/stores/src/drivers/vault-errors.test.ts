import { expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { mapVaultFault, mapVaultNetworkError } from "./vault-errors.ts";

test.each([
  [400, "cipher: message authentication failed", "refused", "it does not open"],
  [400, "invalid ciphertext: no prefix", "refused", "it does not open"],
  [400, "encryption key not found", "refused", "there is no such key"],
  [
    400,
    "ciphertext or signature version is disallowed by policy (too old)",
    "refused",
    "the key's min_decryption_version",
  ],
  [404, "no handler for route 'transit/x'", "refused", "no transit engine is mounted there"],
  [403, "permission denied", "unavailable", "it denies access"],
  [503, "Vault is sealed", "unavailable", "it is sealed"],
  [500, "internal error", "unavailable", "it cannot answer just now"],
  [429, "request path is rate limited", "unavailable", "it takes no more requests just now"],
  [307, "", "unavailable", "it sends elsewhere"],
  [400, "something new that repeats hvs.secret", "refused", "it does not take this request"],
])("status %i with %j is %s", (status, text, code, told) => {
  const error = mapVaultFault("wrap a key", { status, errors: [text] });
  expect(error).toMatchObject({ code, retryable: code === "unavailable" });
  expect(error.message).toContain(`Vault could not wrap a key: ${told}`);
  expect(error.message).not.toContain("hvs.secret");
});

test("what is no answer is the network's, and told by its code alone", () => {
  const cause = Object.assign(new Error("connect to secret.host"), { code: "ECONNRESET" });
  expect(mapVaultNetworkError("wrap a key", cause)).toMatchObject({
    code: "unavailable",
    message: "Vault could not wrap a key: ECONNRESET",
  });
  const own = new StoreError("limit", "too long");
  expect(mapVaultNetworkError("wrap a key", own)).toBe(own);
});
