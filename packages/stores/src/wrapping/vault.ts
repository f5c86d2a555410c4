import { askVault } from "../drivers/vault.ts";
import { readVaultSettings } from "../drivers/vault-settings.ts";
import type { VaultSettings } from "../drivers/vault-settings.ts";
import { StoreError } from "../errors.ts";
import type { WrappingContext, WrappingService } from "./port.ts";

/** How a key in Vault or OpenBao is opened. */
export interface VaultOptions {
  /** `vault://:TOKEN@HOST:PORT/MOUNT/KEY`. */
  readonly url: string;
  /** Where a token is looked for that the URL lacks: `VAULT_TOKEN`, `BAO_TOKEN`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/**
 * A key of the transit engine of HashiCorp Vault or OpenBao as a wrapping service.
 *
 * The context goes along as associated data and, for keys that derive, as what their key is derived
 * from. A key that is not there is not made: Vault itself would do so for a token that may create.
 *
 * @throws StoreError `refused` for a URL that cannot be used.
 */
export async function openVault({ url, environment = {} }: VaultOptions): Promise<WrappingService> {
  const settings = readVaultSettings(url, environment);
  await Promise.resolve();
  return {
    name: settings.name,
    async wrap(secret, context) {
      const doing = "wrap a key";
      await checkKey(settings, doing);
      const { ciphertext } = await transform(settings, "encrypt", {
        doing,
        body: { plaintext: Buffer.from(secret).toString("base64"), ...bound(context) },
      });
      if (typeof ciphertext !== "string" || ciphertext === "") throw empty(doing);
      return Buffer.from(ciphertext, "utf8");
    },
    async unwrap(wrapped, context) {
      const doing = "unwrap a key";
      const { plaintext } = await transform(settings, "decrypt", {
        doing,
        body: { ciphertext: Buffer.from(wrapped).toString("utf8"), ...bound(context) },
      });
      if (typeof plaintext !== "string" || plaintext === "") throw empty(doing);
      return Uint8Array.from(Buffer.from(plaintext, "base64"));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

// developer.hashicorp.com/vault/docs/secrets/transit, "Key types": those with associated data.
const AUTHENTICATED = /^(?:aes128-gcm96|aes256-gcm96|x?chacha20-poly1305)$/;

/** Looks before `encrypt` makes a mistyped key; a token that may not look is not stopped by it. */
async function checkKey(settings: VaultSettings, doing: string): Promise<void> {
  const { mount, key } = settings;
  const path = `${mount}/keys/${key}`;
  const found = await askVault(settings, { doing, method: "GET", path, accepts: [403] });
  const type = found?.["type"];
  if (typeof type !== "string" || AUTHENTICATED.test(type)) return;
  throw new StoreError(
    "refused",
    `Vault could not ${doing}: a key of type ${type} does not bind what it wraps; use one of aes256-gcm96`,
  );
}

async function transform(
  settings: VaultSettings,
  what: "encrypt" | "decrypt",
  { doing, body }: { readonly doing: string; readonly body: object },
): Promise<Readonly<Record<string, unknown>>> {
  const path = `${settings.mount}/${what}/${settings.key}`;
  return (await askVault(settings, { doing, method: "POST", path, body })) ?? {};
}

/** The context as bytes that do not depend on the order of its members. */
function bound(context: WrappingContext): { readonly associated_data: string; context: string } {
  const members = Object.entries(context).toSorted(([left], [right]) => (left < right ? -1 : 1));
  const text = Buffer.from(JSON.stringify(members)).toString("base64");
  return { associated_data: text, context: text };
}

function empty(doing: string): StoreError {
  return new StoreError("unavailable", `Vault could not ${doing}: its answer is empty`);
}
