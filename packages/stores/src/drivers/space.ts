import { createHmac } from "node:crypto";

import { checkTenant } from "@custody/contract/ids";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

/**
 * Names the part of a shared server that belongs to a scope: the tenant, or `<tenant>~<owner>` with the
 * owner's name as {@link ownerFileName}. A tenant's name cannot hold `~`, so no two are the same.
 *
 * @throws StoreError `unsupported` for an owner without a salt.
 */
export function spaceOf(scope: Scope, ownerSalt: Uint8Array | undefined): string {
  const tenant = checkTenant(scope.tenant);
  if (scope.owner === undefined) return tenant;
  if (ownerSalt === undefined) {
    throw new StoreError("unsupported", "data kept per owner need an owner salt");
  }
  return `${tenant}~${ownerFileName(ownerSalt, scope.owner)}`;
}

/** HMAC-SHA-256 of an owner's name under the salt, in hex: names cannot be guessed from files. */
export function ownerFileName(salt: Uint8Array, owner: string): string {
  return createHmac("sha256", salt).update(owner).digest("hex");
}
