import type { Scope } from "../scope.ts";

/** A scope for tests: no deadline, an actor that says so. */
export function scopeFor(tenant: string, owner?: string): Scope {
  const scope = { tenant, actor: "test", deadline: Number.POSITIVE_INFINITY };
  return owner === undefined ? scope : { ...scope, owner };
}
