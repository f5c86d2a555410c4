import type { ProjectedRole } from "@custody/core/stores";
import { graphContent } from "@custody/stores/graph/content";
import { hashText, rowHash } from "@custody/stores/content-form";
import { summaryContent } from "@custody/stores/relational/content";
import type { GraphPlacement } from "@custody/contract/placement";
import type { SummaryDeclaration } from "@custody/contract/summary";

import type { AppliedDelivery, StoredCollection } from "./adapters/memory-projected.ts";
import { sumOfRows } from "./adapters/memory-projected.ts";
import { compileRowContent } from "./adapters/row-content.ts";
import type { RowRole } from "./adapters/row-content.ts";
import type { LiveState, LiveVersion } from "./history.ts";
import { ensure } from "./violation.ts";
import { poisonOf } from "./world.ts";
import type { World } from "./world.ts";

// From here on generations are only for trying suspects; nobody reads them.
const TRIALS_BEGIN = 1_000_000;

/** After each delivery: what it brought is in the journal, and what its checkpoint claims to hold is held. */
export function checkDelivery(world: World, role: ProjectedRole, applied: AppliedDelivery): void {
  const { scope, collection, delivery, before, stored } = applied;
  const journal = world.database.committed(scope.tenant);
  const what = `${role} ${collection.name}#${collection.generation} of ${scope.tenant}`;
  for (const { type, ids, sequences } of delivery.batches) {
    for (const [index, id] of ids.entries()) {
      const positions = journal.ids.get(type)?.get(id) ?? [];
      const isThere = positions.some(({ sequence }) => sequence === sequences[index]);
      ensure(isThere, "store-holds-only-journal", () => `${what} got ${type} ${id}`);
    }
  }
  const head = journal.head?.sequence ?? 0;
  ensure(
    delivery.checkpoint <= head,
    "checkpoint-tells-the-truth",
    () => `${what} claims ${delivery.checkpoint}, the journal ends at ${head}`,
  );
  const isWhole = scope.owner === undefined && collection.generation < TRIALS_BEGIN;
  if (!isWhole || !stored.content.isRowPerRecord || collection.name === "sim/notes") return;
  const held = (type: string, id: string): string | undefined => {
    const latest = journal.ids
      .get(type)
      ?.get(id)
      ?.findLast(({ sequence }) => sequence <= delivery.checkpoint);
    const record = stored.content.records.get(id);
    const note = journal.quarantine.get([role, collection.name, type, id].join("\0"));
    if (latest === undefined || latest.sequence <= (note?.sequence ?? 0)) return undefined;
    if (record !== undefined && record.sequence >= latest.sequence) return undefined;
    if (latest.isDeleted && record === undefined) return undefined;
    return `${what} claims ${delivery.checkpoint} and has ${type} ${id} at ${record?.sequence}`;
  };
  for (const entry of journal.entries.slice(before, delivery.checkpoint)) {
    if (!Object.hasOwn(collection.placements, entry.type)) continue;
    for (const id of journal.entryIds.get(entry.sequence) ?? []) {
      const lacking = held(entry.type, id);
      ensure(lacking === undefined, "checkpoint-tells-the-truth", () => lacking ?? "");
    }
  }
}

interface RecordedGenerations {
  readonly active: {
    readonly generation: number;
    readonly placements: Readonly<Record<string, unknown>>;
  };
}

/** When all is quiet: every store holds exactly what the journal implies, and lists what it does not take. */
export function checkStores(world: World, tenant: string, live: LiveState): void {
  const { state } = world.database.committed(tenant);
  for (const [name, value] of state) {
    const [kind, role, ...rest] = name.split("/");
    if (kind !== "projection") continue;
    const { active } = JSON.parse(value) as RecordedGenerations;
    const projection = { role: role as ProjectedRole, name: rest.join("/"), ...active };
    checkQuarantine(world, tenant, projection, live);
    const expected = expectedSum(world, projection, live);
    const actual = storedSum(world, tenant, projection);
    ensure(
      expected.count === actual.count && expected.sum === actual.sum,
      "projections-converge",
      () =>
        `${role} ${projection.name}#${active.generation} of ${tenant} has ${actual.names.join(", ")}, the journal implies ${expected.names.join(", ")}`,
    );
  }
}

interface ActiveProjection {
  readonly role: ProjectedRole;
  readonly name: string;
  readonly generation: number;
  readonly placements: Readonly<Record<string, unknown>>;
}

interface RowSum {
  readonly count: number;
  readonly sum: string;
  readonly names: readonly string[];
}

function storedSum(
  world: World,
  tenant: string,
  { role, name, generation }: ActiveProjection,
): RowSum {
  const files =
    world.projected.get(role)?.files ?? new Map<string, Map<string, StoredCollection>>();
  const rows = [...files]
    .filter(([file]) => file === tenant || file.startsWith(`${tenant}/`))
    .flatMap(([, file]) => file.get(`${name}#${generation}`)?.content.rows() ?? []);
  const names = rows.map(({ id, sequence }) => `${id}@${sequence}`).sort();
  return { count: rows.length, sum: sumOfRows(rows), names };
}

function expectedSum(world: World, projection: ActiveProjection, live: LiveState): RowSum {
  const { role, placements } = projection;
  const records = liveRecords(world, live, Object.keys(placements))
    // A store that does not take a record has no row for it.
    .filter(({ record }) => !isPoisoned(role, record));
  const rows: { id: string; sequence: number; hash: string }[] = [];
  const add = (id: string, sequence: number, content: string): void => {
    rows.push({ id, sequence, hash: hashText(rowHash(id, sequence, content)) });
  };
  const [placement] = Object.values(placements);
  if (role === "graph") {
    const content = graphContent(placements as Readonly<Record<string, GraphPlacement>>);
    for (const { type, record } of records) content.add(type, record.fields, record.sequence);
    for (const { id, content: text } of content.rows()) add(id, 0, text);
  } else if (isSummary(placement)) {
    const fold = summaryContent(placement.summary);
    for (const { record } of records) fold.add(record.fields);
    for (const { id, content } of fold.rows()) add(id, 0, content);
  } else {
    const content = compileRowContent(role as RowRole, placement);
    for (const { record } of records) {
      const text = content({ ...record, fields: record.fields });
      if (text !== undefined) add(record.id, record.sequence, text);
    }
  }
  const names = rows.map(({ id, sequence }) => `${id}@${sequence}`).sort();
  return { count: rows.length, sum: sumOfRows(rows), names };
}

function isSummary(placement: unknown): placement is { readonly summary: SummaryDeclaration } {
  return typeof placement === "object" && placement !== null && "summary" in placement;
}

/** The live records of some types in the journal's order, as the present edition sees them. */
function liveRecords(
  world: World,
  live: LiveState,
  types: readonly string[],
): readonly { readonly type: string; readonly record: LiveVersion }[] {
  return types
    .flatMap((type) => [...(live.get(type)?.values() ?? [])].map((record) => ({ type, record })))
    .map(({ type, record }) => {
      const { fields } = record;
      if (world.edition === 1 || type !== "sim/assets" || fields === undefined)
        return { type, record };
      return { type, record: { ...record, fields: { edition: 1, ...fields } } };
    })
    .sort((left, right) => left.record.sequence - right.record.sequence);
}

function isPoisoned(role: ProjectedRole, { json }: LiveVersion): boolean {
  return json.includes(poisonOf(role));
}

/** Exactly the live records that a store does not take are listed as quarantined. */
function checkQuarantine(
  world: World,
  tenant: string,
  { role, name, placements }: ActiveProjection,
  live: LiveState,
): void {
  const rows = [...world.database.committed(tenant).quarantine.values()]
    .filter((row) => row.role === role && row.collection === name)
    .filter(({ passedBy }) => passedBy === undefined)
    .map(({ type, id }) => `${type} ${id}`)
    .sort();
  const wanted = liveRecords(world, live, Object.keys(placements))
    .filter(({ record }) => isPoisoned(role, record))
    .map(({ type, record }) => `${type} ${record.id}`)
    .sort();
  ensure(
    rows.join("; ") === wanted.join("; "),
    "quarantine-is-listed",
    () => `${role} ${name} lists ${rows.join("; ")} where ${wanted.join("; ")} are refused`,
  );
}
