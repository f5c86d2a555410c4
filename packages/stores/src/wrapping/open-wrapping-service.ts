import { StoreError } from "../errors.ts";
import type { WrappingService } from "./port.ts";

/**
 * Opens the key in a key service that a URL names; nothing is sent before it is used.
 *
 * @param environment where credentials are looked for that the URL lacks. AWS' own library looks into
 *   the process's environment, whatever is given here.
 * @throws StoreError `refused` for a URL that cannot be used, `unsupported` where a client library is
 *   not installed.
 */
export async function openWrappingService(
  url: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<WrappingService> {
  const scheme = /^([a-z0-9+.-]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme === "aws-kms") {
    const { openAwsKms } = await import("./aws-kms.ts");
    return await openAwsKms({ url });
  }
  if (scheme === "vault" || scheme === "openbao") {
    const { openVault } = await import("./vault.ts");
    return await openVault({ url, environment });
  }
  throw new StoreError(
    "refused",
    "no key service is reached by this URL; give aws-kms://REGION/KEY or vault://HOST:PORT/MOUNT/KEY",
  );
}
