import { compileSingle } from "@custody/contract/field-path";
import type { Scope } from "@custody/stores/scope";

/** The longest name of an owner, in UTF-16 units. */
export const OWNER_LENGTH_MAX = 512;

/**
 * Whether a value can name an owner: text of 1 to {@link OWNER_LENGTH_MAX} units without NUL and without
 * a lone surrogate, which would name the same file as any other one.
 */
export function isOwnerName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.length <= OWNER_LENGTH_MAX &&
    !value.includes("\0") &&
    value.isWellFormed()
  );
}

/** Compiles the path of an owner to a function that reads a record's owner; `undefined` where it names none. */
export function compileOwner(path: string): (fields: unknown) => string | undefined {
  const read = compileSingle(path) ?? ((): undefined => undefined);
  return (fields) => {
    const value = read(fields);
    return isOwnerName(value) ? value : undefined;
  };
}

/** The same scope for what is kept for a tenant as a whole. */
export function tenantScope(scope: Scope): Scope {
  const { owner: _, ...tenant } = scope;
  return tenant;
}
