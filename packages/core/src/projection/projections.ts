import type { SummaryDeclaration } from "@custody/contract/summary";
import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { Collection } from "@custody/stores/projected-store";
import type { Scope } from "@custody/stores/scope";

import { fingerprint } from "../records/compiled-type.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import { PROJECTED_ROLES } from "../stores.ts";
import type { ProjectedRole } from "../stores.ts";

/** What is to be kept of which types in a role; its generation is decided per tenant. */
export interface ProjectionPlan {
  readonly role: ProjectedRole;
  /** `pack/name` of the type or summary; `graph` for the graph of all types. */
  readonly name: string;
  readonly types: readonly string[];
  readonly placements: Readonly<Record<string, unknown>>;
  /** Changes when the mapping does. */
  readonly fingerprint: string;
  /** Whether the store counts what records contribute, and so must be told what they were before. */
  readonly isCounted: boolean;
  /** The path of a record's owner, where each owner has a file of their own. */
  readonly owner?: string;
}

/** A plan with its generation: one store's copy of one or more types. */
export interface Projection extends ProjectionPlan {
  readonly collection: Collection<unknown>;
}

// Fingerprints are costly, plans are asked for at each commit, and there are two lists at most: that of
// `_system` and that of every other tenant.
const planned = new WeakMap<TypeRegistry, Map<boolean, readonly ProjectionPlan[]>>();

/** Every projection of a tenant, in a fixed order: what goes where follows from the declarations alone. */
export function planProjections(registry: TypeRegistry, tenant: string): readonly ProjectionPlan[] {
  const known = planned.get(registry) ?? new Map<boolean, readonly ProjectionPlan[]>();
  planned.set(registry, known);
  const isSystem = tenant === SYSTEM_TENANT;
  const plans = known.get(isSystem) ?? makePlans(registry, tenant);
  known.set(isSystem, plans);
  return plans;
}

function makePlans(registry: TypeRegistry, tenant: string): readonly ProjectionPlan[] {
  const types = registry.all().filter((type) => registry.livesIn(tenant, type.declaration));
  const plans = types.flatMap(plansOfType);
  const summaries = registry.summaries.flatMap((summary) => {
    const type = types.find(({ name }) => name === summary.of);
    return type === undefined ? [] : [planSummary(type, summary)];
  });
  const graph = planGraph(types);
  return [...plans, ...summaries, ...(graph === undefined ? [] : [graph])].sort(byRole);
}

function plansOfType(type: CompiledType): readonly ProjectionPlan[] {
  const { document, search, series, relational } = type.declaration.placements;
  const of = (role: ProjectedRole, placement: unknown): ProjectionPlan =>
    plan({
      role,
      name: type.name,
      placements: { [type.name]: placement },
      isCounted: false,
      versions: versionsOf([type]),
      ...ownerOf(type),
    });
  return [
    ...(document === undefined ? [] : [of("document", document)]),
    ...(search === undefined ? [] : [of("search", search)]),
    ...(series === undefined || series.length === 0 ? [] : [of("series", series)]),
    ...(relational === undefined ? [] : [of("relational", { table: relational })]),
    of("analytics", type.analytics),
  ];
}

function planSummary(type: CompiledType, summary: SummaryDeclaration): ProjectionPlan {
  return plan({
    role: "relational",
    name: summary.name,
    placements: { [summary.of]: { summary } },
    isCounted: true,
    versions: versionsOf([type]),
    ...ownerOf(type),
  });
}

function ownerOf({ declaration: { owner } }: CompiledType): { readonly owner?: string } {
  return owner === undefined ? {} : { owner };
}

/** Types that are kept per owner have no place here: a path would lead from one owner to another. */
function planGraph(types: readonly CompiledType[]): ProjectionPlan | undefined {
  const placed = types.flatMap((type) => {
    const { graph } = type.declaration.placements;
    const isLeftOut = graph === undefined || type.declaration.owner !== undefined;
    return isLeftOut ? [] : [[type.name, graph] as const];
  });
  if (placed.length === 0) return undefined;
  return plan({
    role: "graph",
    name: "graph",
    placements: Object.fromEntries(placed),
    isCounted: true,
    versions: versionsOf(types.filter(({ name }) => placed.some(([type]) => type === name))),
  });
}

/** Versions later than the first: their upcasts give stored records another form under the same mapping. */
function versionsOf(types: readonly CompiledType[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    types.flatMap(({ name, declaration: { version } }) => (version > 1 ? [[name, version]] : [])),
  );
}

function plan({
  versions,
  ...parts
}: Omit<ProjectionPlan, "types" | "fingerprint"> & {
  readonly versions: Readonly<Record<string, number>>;
}): ProjectionPlan {
  const { owner, placements } = parts;
  const upcast = Object.keys(versions).length === 0 ? {} : { versions };
  const isPlain = owner === undefined && upcast.versions === undefined;
  return {
    ...parts,
    types: Object.keys(placements).sort(),
    fingerprint: fingerprint(
      isPlain ? placements : { ...(owner === undefined ? {} : { owner }), ...upcast, placements },
    ),
  };
}

function byRole(left: ProjectionPlan, right: ProjectionPlan): number {
  return (
    PROJECTED_ROLES.indexOf(left.role) - PROJECTED_ROLES.indexOf(right.role) ||
    (left.name < right.name ? -1 : 1)
  );
}

/** Names a projection for people and for state: `document redteam/session_evidence`. */
export function projectionLabel(plan: Pick<ProjectionPlan, "role" | "name">): string {
  return plan.role === "graph" ? "graph" : `${plan.role} ${plan.name}`;
}

/** Names a projection of a tenant, whatever its build. */
export function planKey(scope: Scope, { role, name }: ProjectionPlan): string {
  return `${scope.tenant} ${role} ${name}`;
}

/** Names one build of a projection of a tenant. */
export function buildKey(scope: Scope, projection: Projection): string {
  return `${scope.tenant}/${projectionLabel(projection)}/${projection.collection.generation}`;
}
