import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { Pack } from "@custody/contract/importer";
import { checkRecordType } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import type { SummaryDeclaration } from "@custody/contract/summary";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { SYSTEM_TYPES } from "../system-types.ts";
import { compileRecordType } from "./compiled-type.ts";
import type { CompiledType } from "./compiled-type.ts";

/** All record types and summaries of this installation, by name. */
export class TypeRegistry {
  readonly #types = new Map<string, CompiledType>();
  readonly summaries: readonly SummaryDeclaration[];

  /** @throws ContractError `invalid-type`; CoreError `usage` when two packs declare the same name. */
  constructor(packs: readonly Pack[]) {
    for (const type of [...SYSTEM_TYPES, ...packs.flatMap((pack) => pack.types)]) {
      checkRecordType(type);
      if (this.#types.has(type.name)) {
        throw new CoreError("usage", `two packs declare the record type ${type.name}`);
      }
      this.#types.set(type.name, compileRecordType(type));
    }
    this.summaries = packs.flatMap((pack) => pack.summaries);
    for (const summary of this.summaries) this.require(summary.of);
  }

  /** Sorted by name. */
  all(): readonly CompiledType[] {
    return [...this.#types.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): CompiledType | undefined {
    return this.#types.get(name);
  }

  /** @throws CoreError `usage` that names near misses. */
  require(name: string): CompiledType {
    const type = this.#types.get(name);
    if (type !== undefined) return type;
    const tail = name.split("/").at(-1) ?? name;
    const near = [...this.#types.keys()].filter((known) => known.includes(tail)).slice(0, 3);
    const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : "see `custody types`";
    throw new CoreError("usage", `there is no record type ${JSON.stringify(name)}; ${hint}`);
  }

  /** Where records of a type live: shared types are `_system`'s, whoever asks. */
  home(scope: Scope, type: CompiledType): Scope {
    return type.declaration.scope === "shared" ? { ...scope, tenant: SYSTEM_TENANT } : scope;
  }

  /** Whether a projection of the type is kept in this tenant: shared ones in `_system` alone. */
  livesIn(tenant: string, type: RecordType): boolean {
    return (
      (type.scope === "shared") === (tenant === SYSTEM_TENANT) || type.name.startsWith("custody/")
    );
  }
}
