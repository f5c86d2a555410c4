import { ContractError } from "./errors.ts";

/** The longest record id, in UTF-16 units: it must fit the keys of every engine. */
export const ID_LENGTH_MAX = 512;

/** The journal of what every tenant reads: identities, configuration, shared catalogues. */
export const SYSTEM_TENANT = "_system";

const TENANT = /^(?:_system|[a-z0-9][a-z0-9-]{0,62})$/;

/**
 * Checks a tenant's name: 1 to 63 of `a-z`, `0-9` and `-`, or `_system`. It becomes a directory, so
 * nothing else is let through.
 *
 * @throws ContractError `invalid-id`.
 */
export function checkTenant(tenant: string): string {
  if (TENANT.test(tenant)) return tenant;
  throw new ContractError(
    "invalid-id",
    `not a tenant name: ${JSON.stringify(tenant)}; use 1 to 63 of a-z, 0-9 and -`,
  );
}

/**
 * Checks a record id: 1 to 512 UTF-16 units, no NUL, no lone surrogate.
 *
 * @throws ContractError `invalid-id`.
 */
export function checkRecordId(id: string): string {
  if (id.length > 0 && id.length <= ID_LENGTH_MAX && !id.includes("\0") && id.isWellFormed())
    return id;
  throw new ContractError(
    "invalid-id",
    `not a record id: ${JSON.stringify(id.slice(0, 80))}; ids are 1 to ${ID_LENGTH_MAX} characters without NUL`,
  );
}

/**
 * Makes a UUIDv7 (RFC 9562 §5.7): 48 bits of epoch milliseconds, then random bits.
 *
 * @param random 10 random bytes.
 */
export function uuidV7(nowMs: number, random: Uint8Array): string {
  const time = Math.trunc(nowMs).toString(16).padStart(12, "0");
  const bytes = Buffer.from(random.subarray(0, 10));
  bytes[0] = ((bytes[0] ?? 0) & 0x0f) | 0x70;
  bytes[2] = ((bytes[2] ?? 0) & 0x3f) | 0x80;
  const tail = bytes.toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-${tail.slice(0, 4)}-${tail.slice(4, 8)}-${tail.slice(8)}`;
}
