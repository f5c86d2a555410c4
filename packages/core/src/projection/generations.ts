import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { Projection, ProjectionPlan } from "./projections.ts";

/** One build of a projection, with the mapping it was built by: it can be read after the mapping changed. */
export interface Generation {
  readonly generation: number;
  readonly fingerprint: string;
  readonly placements: Readonly<Record<string, unknown>>;
  /** The path by which its rows were put into files of their owners. */
  readonly owner?: string;
}

/** Which builds of a projection exist in a tenant. */
export interface GenerationState {
  /** The one that answers. */
  readonly active: Generation;
  /** The one being built beside it. */
  readonly building?: Generation;
  /** The one before, kept as the way back. */
  readonly previous?: Generation;
  /** Those that have lost rows: removed once the one that answers has caught up. */
  readonly obsolete?: readonly Generation[];
}

const stateName = (plan: Pick<ProjectionPlan, "role" | "name">): string =>
  `projection/${plan.role}/${plan.name}`;

/** The recorded generations of a projection; `undefined` before it was first made. */
export async function readGenerations(
  journal: JournalStore,
  scope: Scope,
  plan: Pick<ProjectionPlan, "role" | "name">,
): Promise<GenerationState | undefined> {
  const text = await journal.state(scope, stateName(plan));
  return text === undefined ? undefined : (JSON.parse(text) as GenerationState);
}

/** Records the generations of a projection. */
export async function writeGenerations(
  journal: JournalStore,
  scope: Scope,
  plan: Pick<ProjectionPlan, "role" | "name">,
  state: GenerationState,
): Promise<void> {
  await journal.putState(scope, stateName(plan), JSON.stringify(state));
}

/** The generations a projection should have, given what is recorded: a changed mapping begins a new build. */
export function nextGenerations(
  state: GenerationState | undefined,
  plan: ProjectionPlan,
): GenerationState {
  if (state === undefined) return { active: generationOf(plan, 1) };
  if (state.active.fingerprint === plan.fingerprint) return state;
  if (state.building?.fingerprint === plan.fingerprint) return state;
  return { ...state, building: generationOf(plan, highest(state) + 1) };
}

/** Begins a new build by today's mapping, for a rebuild. */
export function beginRebuild(state: GenerationState, plan: ProjectionPlan): GenerationState {
  return { ...state, building: generationOf(plan, highest(state) + 1) };
}

/** Begins anew by today's mapping where the present builds have lost rows: nothing of them is read again. */
export function beginAnew(state: GenerationState, plan: ProjectionPlan): GenerationState {
  const { active, building, previous, obsolete = [] } = state;
  const old = [active, building, previous].filter((one) => one !== undefined);
  return { active: generationOf(plan, highest(state) + 1), obsolete: [...obsolete, ...old] };
}

/** Makes the new build the active one and the active one the way back. */
export function switchGenerations(state: GenerationState): GenerationState {
  const { active, building, obsolete } = state;
  if (building === undefined) return state;
  return { active: building, previous: active, ...(obsolete === undefined ? {} : { obsolete }) };
}

/** A plan as one of its builds. */
export function projectionAt(plan: ProjectionPlan, generation: Generation): Projection {
  const { placements, owner } = generation;
  const { owner: _, ...rest } = plan;
  return {
    ...rest,
    ...(owner === undefined ? {} : { owner }),
    types: Object.keys(placements).sort(),
    placements,
    fingerprint: generation.fingerprint,
    collection: { name: plan.name, generation: generation.generation, placements },
  };
}

function generationOf(plan: ProjectionPlan, generation: number): Generation {
  const { fingerprint, placements, owner } = plan;
  return { generation, fingerprint, placements, ...(owner === undefined ? {} : { owner }) };
}

function highest(state: GenerationState): number {
  const { active, building, previous, obsolete = [] } = state;
  const all = [active, building, previous, ...obsolete];
  return Math.max(...all.map((one) => one?.generation ?? 0));
}
