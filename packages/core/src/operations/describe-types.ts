import { STORE_ROLES } from "@custody/contract/placement";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { TypeInfo } from "../reports.ts";
import { fieldPathsOf } from "../records/compiled-type.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import type { TypeRegistry } from "../records/type-registry.ts";

export interface DescribedParts {
  readonly registry: TypeRegistry;
  readonly journal: JournalStore;
}

/** Record types as people see them, each with how many records a tenant has. */
export async function describeTypes(
  context: DescribedParts,
  scope: Scope,
): Promise<readonly TypeInfo[]> {
  const infos: TypeInfo[] = [];
  for (const type of context.registry.all()) {
    const { name, declaration } = type;
    const { version, title, mode, scope: reach = "tenant" } = declaration;
    const { live } = await context.journal.count(context.registry.home(scope, type), name);
    const roles = STORE_ROLES.filter(
      (role) => role === "analytics" || Object.hasOwn(declaration.placements, role),
    );
    infos.push({
      name,
      version,
      title,
      mode,
      scope: reach,
      id: describeId(type),
      roles,
      fields: fieldPathsOf(type.jsonSchema),
      records: live,
    });
  }
  return infos;
}

function describeId({ declaration: { id } }: CompiledType): string {
  if ("field" in id) return id.field;
  if ("key" in id) return id.key.join(" + ");
  return "content" in id ? "day and content" : "generated";
}
