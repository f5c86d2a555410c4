import { parseJson } from "@custody/contract/json";
import type { ProjectedStore, RowDigest } from "@custody/stores/projected-store";
import type { IdPosition, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { TraceReport } from "../reports.ts";
import { CoreError } from "../errors.ts";
import { decodeEntry } from "../journal/format/entry.ts";
import { tenantScope } from "../projection/owner-scope.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import type { Projection } from "../projection/projections.ts";
import { proveLine } from "../proof/prove.ts";
import type { ProveParts } from "../proof/prove.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Stores } from "../stores.ts";
import { expectedRows } from "./expected-rows.ts";
import { sourceFiles } from "../system-types.ts";
import { verifyBundle } from "../verify/standalone.ts";

export interface TraceParts extends ProveParts {
  readonly registry: TypeRegistry;
  readonly runner: ProjectionRunner;
  readonly stores: Stores;
}

const ROWS_PER_PAGE = 10_000;

/** Tells where a record is, who brought it, and whether its proof holds. */
export async function trace(
  parts: TraceParts,
  scope: Scope,
  name: string,
  id: string,
): Promise<TraceReport> {
  const type = parts.registry.require(name);
  const home = tenantScope(parts.registry.home(scope, type));
  const { position, owner } = await requireRecord(parts, scope, type, id);
  const stored = await parts.reader.entry(home, position.sequence);
  const source = await sourceOf(parts, home, stored, position);
  return {
    type: name,
    id,
    version: position.sequence,
    isDeleted: position.isDeleted,
    entry: describeEntry(stored),
    location: await locate(parts, home, stored, position),
    ...(source === undefined ? {} : { source }),
    projections: await projectionsOf(parts, home, {
      name,
      id,
      position,
      ...(owner === undefined ? {} : { owner }),
    }),
    proof: await checkProof(parts, home, position),
  };
}

/**
 * Where an id lies now, and whose record it is where its type is kept per owner.
 *
 * @throws CoreError `not-found`, also for a record of another owner than the scope's.
 */
export async function requireRecord(
  parts: Pick<TraceParts, "registry" | "journal" | "reader">,
  scope: Scope,
  type: CompiledType,
  id: string,
): Promise<{ readonly position: IdPosition; readonly owner?: string }> {
  const home = parts.registry.home(scope, type);
  const [position] = await parts.journal.lookup(home, type.name, [id]);
  if (position !== undefined && type.ownerOf === undefined) return { position };
  if (position !== undefined) {
    // What is deleted is nobody's any more.
    const owner = position.isDeleted
      ? undefined
      : type.ownerOf?.(parseJson((await parts.reader.recordAt(home, position)).text));
    const isVisible = scope.owner === undefined || scope.owner === owner;
    if (isVisible) return { position, ...(owner === undefined ? {} : { owner }) };
  }
  throw new CoreError(
    "not-found",
    `there is no ${type.name} ${id} in tenant ${scope.tenant}; \`custody find ${type.name}\` lists some`,
    {
      at: `${type.name} ${id}`,
    },
  );
}

function describeEntry(stored: StoredEntry): TraceReport["entry"] {
  const { sequence, hash, commit, operation, count, receivedAt } = stored;
  const { actor, source } = decodeEntry(stored.bytes);
  return {
    sequence,
    hash: Buffer.from(hash).toString("hex"),
    commit,
    operation,
    records: count,
    actor,
    receivedAt,
    ...(source.tool === undefined
      ? {}
      : { tool: [source.tool, source.toolVersion].filter(Boolean).join(" ") }),
    ...(source.importer === undefined
      ? {}
      : { importer: `${source.importer} (mapping ${source.mappingVersion ?? 0})` }),
  };
}

async function locate(
  parts: TraceParts,
  scope: Scope,
  stored: StoredEntry,
  position: IdPosition,
): Promise<TraceReport["location"]> {
  const { location } = stored;
  if (location.kind === "inline") return { kind: "inline" };
  const segment = await parts.lines.openSegment(scope, location.segmentId);
  const row = await parts.journal.segment(scope, location.segmentId);
  const line = location.firstLine + position.ordinal;
  return {
    kind: "segment",
    segment: location.segmentId,
    block: segment.findLine(line) ?? 0,
    line,
    blobKey: row?.blobKey ?? "",
  };
}

/** The file a record came from: the `source_files` record of the same commit. */
async function sourceOf(
  parts: TraceParts,
  scope: Scope,
  stored: StoredEntry,
  position: IdPosition,
): Promise<TraceReport["source"]> {
  if (decodeEntry(stored.bytes).source.fileHash === undefined) return undefined;
  const { line } = await parts.reader.recordAt(scope, position);
  const entries = await parts.journal.entries(scope, {
    after: stored.sequence - 1,
    type: [sourceFiles.name],
    limit: 64,
  });
  const file = entries.find(({ commit }) => commit === stored.commit);
  if (file === undefined) return undefined;
  const hash = new Uint8Array(16);
  const at = { sequence: file.sequence, ordinal: 0, isDeleted: false, contentHash: hash };
  const { text } = await parts.reader.recordAt(scope, at);
  const { name, sha256, blob } = parseJson(text) as { name: string; sha256: string; blob: string };
  return { name, sha256, blob, ...(line.place === undefined ? {} : { place: line.place }) };
}

type ProjectionTrace = TraceReport["projections"][number];

interface TracedRecord {
  readonly name: string;
  readonly id: string;
  readonly position: IdPosition;
  /** Whose file it should lie in, where its type is kept per owner. */
  readonly owner?: string;
}

async function projectionsOf(
  parts: TraceParts,
  scope: Scope,
  record: TracedRecord,
): Promise<readonly ProjectionTrace[]> {
  const traces: ProjectionTrace[] = [];
  for (const plan of parts.runner.plans(scope)) {
    if (!plan.types.includes(record.name)) continue;
    const projector = await parts.runner.active(scope, plan);
    const checkpoint = await projector.checkpoint();
    const state = await projectionState(parts, scope, projector.projection, {
      ...record,
      checkpoint,
    });
    traces.push({ role: plan.role, name: plan.name, state, checkpoint });
  }
  return traces;
}

async function projectionState(
  parts: TraceParts,
  scope: Scope,
  projection: Projection,
  record: TracedRecord & { readonly checkpoint: number },
): Promise<ProjectionTrace["state"]> {
  const { role, name, isCounted, collection } = projection;
  const rows = await parts.journal.quarantine(scope, { role, collection: name, limit: 100_000 });
  if (rows.some((row) => row.type === record.name && row.id === record.id)) return "quarantined";
  if (record.checkpoint < record.position.sequence) return "behind";
  if (isCounted) return "counted";
  const store = await parts.runner.store(projection);
  const { owner } = record;
  const at = projection.owner === undefined || owner === undefined ? scope : { ...scope, owner };
  const row = await findRow(store, at, collection, record);
  if (record.position.isDeleted) return row === undefined ? "deleted" : "stale";
  if (row !== undefined) return "present";
  return (await hasRow(parts, scope, projection, record)) ? "missing" : "empty";
}

/** Whether the mapping makes a row of the record at all: one without a number has no point, for instance. */
async function hasRow(
  parts: TraceParts,
  scope: Scope,
  projection: Projection,
  record: { readonly name: string; readonly id: string; readonly position: IdPosition },
): Promise<boolean> {
  const { text, line } = await parts.reader.recordAt(scope, record.position);
  const { name: type, id, position } = record;
  const observedAt = line.observedAt ?? Number.NaN;
  const live = { type, id, sequence: position.sequence, fields: parseJson(text), observedAt };
  return expectedRows(projection).row(live) !== undefined;
}

async function findRow(
  store: ProjectedStore<unknown>,
  scope: Scope,
  collection: Projection["collection"],
  record: { readonly id: string; readonly position: IdPosition },
): Promise<RowDigest | undefined> {
  const { sequence } = record.position;
  let cursor: string | undefined;
  do {
    const page = await store.list(scope, collection, {
      fromSequence: sequence,
      toSequence: sequence + 1,
      limit: ROWS_PER_PAGE,
      ...(cursor === undefined ? {} : { cursor }),
    });
    const found = page.rows.find(({ id }) => id === record.id);
    if (found !== undefined) return found;
    ({ cursor } = page);
  } while (cursor !== undefined);
  return undefined;
}

async function checkProof(
  parts: TraceParts,
  scope: Scope,
  position: IdPosition,
): Promise<TraceReport["proof"]> {
  const bundle = await proveLine(parts, scope, position);
  const { ok, fault } = verifyBundle(bundle);
  const { size: treeSize, root } = bundle.treeHead;
  return { holds: ok, treeSize, root, ...(fault === undefined ? {} : { fault: String(fault) }) };
}
