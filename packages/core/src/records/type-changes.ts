import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { fieldPathsOf } from "./compiled-type.ts";
import type { TypeRegistry } from "./type-registry.ts";

/** What was recorded of a type when it was last used. */
interface KnownType {
  readonly version: number;
  readonly fields: readonly string[];
}

/**
 * Compares the declared types with those the tenant's journal was written with, and records them.
 *
 * @throws CoreError `would-lose` when a type has lost a field, or its version went back, and
 *   `acceptLoss` is not given.
 */
export async function acceptTypes(
  journal: JournalStore,
  scope: Scope,
  registry: TypeRegistry,
  options: { readonly acceptLoss: boolean },
): Promise<void> {
  const known = new Map(
    (await journal.listState(scope, "type/")).map(({ name, value }) => [name, value]),
  );
  for (const { name, declaration, jsonSchema } of registry.all()) {
    const state = `type/${name}`;
    const fields = fieldPathsOf(jsonSchema);
    const now = JSON.stringify({ version: declaration.version, fields } satisfies KnownType);
    const before = known.get(state);
    if (before === now) continue;
    if (before !== undefined && !options.acceptLoss) {
      refuseLoss(name, JSON.parse(before) as KnownType, { version: declaration.version, fields });
    }
    await journal.putState(scope, state, now);
  }
}

/**
 * Whether a later version of one of the types has been declared to the tenant's journal since: another
 * process, started after this one, knows it.
 */
export async function areSuperseded(
  { journal, registry }: { readonly journal: JournalStore; readonly registry: TypeRegistry },
  scope: Scope,
  names: readonly string[],
): Promise<boolean> {
  for (const name of names) {
    const value = await journal.state(scope, `type/${name}`);
    const { version } = registry.require(name).declaration;
    if (value !== undefined && (JSON.parse(value) as KnownType).version > version) return true;
  }
  return false;
}

function refuseLoss(name: string, before: KnownType, now: KnownType): void {
  if (now.version < before.version) {
    throw new CoreError(
      "would-lose",
      `${name} was written as version ${before.version} and is now declared as version ${now.version}; use the newer declaration`,
    );
  }
  const lost = before.fields.filter((field) => !now.fields.includes(field));
  if (lost.length === 0) return;
  throw new CoreError(
    "would-lose",
    `${name} version ${now.version} no longer has ${lost.slice(0, 5).join(", ")}; the stored records keep it, but no store would. Declare it again, or pass --accept-loss`,
    { at: name },
  );
}
