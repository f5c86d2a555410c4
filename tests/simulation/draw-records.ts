import type { ProjectedRole } from "@custody/core/stores";

import type { AskedPart, AskedRecord, Model } from "./model.ts";
import type { Random } from "./random.ts";
import type { Edition } from "./simulated-types.ts";
import { poisonOf } from "./world.ts";

/** What records are drawn from. */
export interface DrawContext {
  readonly random: Random;
  readonly model: Model;
  readonly tenant: string;
  readonly op: number;
  readonly edition: Edition;
  readonly poisoned: readonly ProjectedRole[];
  /** The types of records in commits; all when left out. */
  readonly types?: readonly SimulatedType[];
}

const TYPES = ["sim/events", "sim/assets", "sim/users", "sim/notes", "sim/interviews"] as const;
/** A type of records that are drawn. */
export type SimulatedType = (typeof TYPES)[number];

// Five of these make a commit too large to stay in the entry's row.
const LARGE_PAD = 9_000;

/** Draws what a commit asks for: one part for each of some types. */
export function drawParts(context: DrawContext): readonly AskedPart[] {
  const { random, types: only = TYPES } = context;
  const more = ["sim/events", "sim/assets", "sim/assets"] as const;
  const first = random.pick(only === TYPES ? [...only, ...more] : only);
  const second = random.pick(only);
  const types = random.chance(0.2) && second !== first ? [first, second] : [first];
  const isLarge = random.chance(0.2);
  return types.map((type) => drawPart(context, type, isLarge));
}

/** Draws what an import brings: events, assets and interviews. */
export function drawImport(context: DrawContext): readonly AskedPart[] {
  const { random } = context;
  const types: SimulatedType[] = ["sim/events", "sim/assets", "sim/interviews"];
  return types
    .filter(() => random.chance(0.7))
    .map((type) => ({ ...drawPart(context, type, random.chance(0.2)), delete: [] }))
    .filter(({ put }) => put.length > 0);
}

function drawPart(context: DrawContext, type: SimulatedType, isLarge: boolean): AskedPart {
  const { random, model, tenant } = context;
  const count = isLarge ? 5 : random.pick([1, 1, 2, 6]);
  const put = new Map<string, AskedRecord>();
  for (let index = 0; index < count; index += 1) {
    const earlier = model.asked(tenant, type);
    const again = random.chance(0.12) && earlier.length > 0 ? random.pick(earlier) : undefined;
    const record = again ?? drawRecord(context, type, { index, isLarge });
    put.set(record.id, record);
  }
  const canDelete = type !== "sim/events" && type !== "sim/interviews";
  const known = canDelete && random.chance(0.25) ? model.asked(tenant, type) : [];
  const removed = known.length === 0 ? [] : [random.pick(known).id].filter((id) => !put.has(id));
  return { type, put: [...put.values()], delete: removed };
}

function drawRecord(
  context: DrawContext,
  type: SimulatedType,
  { index, isLarge }: { readonly index: number; readonly isLarge: boolean },
): AskedRecord {
  const { random, op, edition } = context;
  const marks = { op, pad: drawPad(context, isLarge) };
  // Ids of what never changes are new, save now and then one that somebody may have used.
  const fresh = random.chance(0.92) ? `${op}-${index}` : String(random.below(4));
  switch (type) {
    case "sim/events": {
      const at = Date.parse("2026-03-01T00:00:00Z") + random.below(1_000_000);
      const id = `e${fresh}`;
      const asset = `a${random.below(6)}`;
      return { id, fields: { ...marks, id, at, asset, level: random.below(5) } };
    }
    case "sim/assets": {
      const name = `a${random.below(6)}`;
      const team = `t${random.below(3)}`;
      const fields = { ...marks, name, team, risk: random.below(100) };
      return { id: name, fields: edition === 1 ? fields : { ...fields, edition: 2 } };
    }
    case "sim/users": {
      const id = `u${random.below(5)}`;
      return { id, fields: { ...marks, id, login: `l${random.below(7)}` } };
    }
    case "sim/notes": {
      const id = `n${random.below(5)}`;
      return { id, fields: { ...marks, id, by: `p${random.below(3)}`, weight: random.below(9) } };
    }
    case "sim/interviews": {
      const id = `i${fresh}`;
      return { id, fields: { ...marks, id, person: `s${random.below(3)}`, said: `said ${op}` } };
    }
  }
}

function drawPad({ random, poisoned }: DrawContext, isLarge: boolean): string {
  if (poisoned.length > 0 && random.chance(0.15)) return poisonOf(random.pick(poisoned));
  return isLarge ? "x".repeat(LARGE_PAD) : "";
}
