import { setTimeout as pause } from "node:timers/promises";

import { isOverload, mapFault, memberOf, readFault } from "../drivers/opensearch-errors.ts";
import type { OpensearchFault } from "../drivers/opensearch-errors.ts";
import type { OpensearchCluster } from "../drivers/opensearch.ts";
import { callMilliseconds } from "../drivers/call-limit.ts";
import { notPrepared } from "../collections.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { documentId } from "./opensearch-index.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";

/** A record's latest version on its way; without a document it is deleted. */
export interface PlannedRow {
  readonly id: string;
  readonly sequence: number;
  /** JSON text. */
  readonly document?: string;
}

export interface RowTarget {
  readonly cluster: OpensearchCluster;
  readonly scope: Scope;
  readonly held: OpensearchCollection;
  /** How far the collection is written by now, whoever wrote it. */
  readonly checkpoint: () => Promise<number>;
}

/** What a write relies on, so that it changes nothing when another one came first. */
type Guard =
  /** The stored version is lower; the version of a document is never below its row's sequence. */
  | { readonly kind: "newer" }
  /** Nobody wrote the document since it was looked at. */
  | { readonly kind: "unchanged"; readonly seqNo: number; readonly term: number }
  /** There is no document. */
  | { readonly kind: "absent" };

interface Attempt {
  readonly row: PlannedRow;
  readonly guard: Guard;
}

/** A document as it was found. */
interface Found {
  readonly sequence: number;
  readonly version: number;
  readonly seqNo: number;
  readonly term: number;
}

// The server takes 100 MB a request (http.max_content_length) and works best well below.
const REQUEST_UNITS_MAX = 8 * 1024 * 1024;
const REQUEST_ROWS_MAX = 1_000;
// Each round another writer came first; more in a row means that two fight over the same records.
const ROUNDS_MAX = 20;
const PAUSE_FIRST_MS = 50;
const PAUSE_LAST_MS = 2_000;

/** Writes rows that are newer than what is stored. Each id must come once. */
export async function writeRows(target: RowTarget, rows: Iterable<PlannedRow>): Promise<void> {
  await eachChunk(rows, async (chunk) => {
    const attempts = chunk.map((row): Attempt => ({ row, guard: { kind: "newer" } }));
    await writeAll(target, attempts, async (conflicts) => await newerOnes(target, conflicts));
  });
}

/** Makes rows what is given, whatever is stored. Each id must come once. */
export async function forceRows(target: RowTarget, rows: Iterable<PlannedRow>): Promise<void> {
  await eachChunk(rows, async (chunk) => {
    const attempts = await forcedOnes(target, chunk, "first");
    await writeAll(
      target,
      attempts,
      async (conflicts) => await forcedOnes(target, conflicts, "next"),
    );
  });
}

async function eachChunk(
  rows: Iterable<PlannedRow>,
  write: (chunk: readonly PlannedRow[]) => Promise<void>,
): Promise<void> {
  let underway = Promise.resolve();
  try {
    // One request at a time: two would make the server write, and later merge, twice as many segments
    // (measured: 130 of 430 microseconds a row). The next is made while the server works.
    for (const chunk of chunksOf(rows)) {
      await underway;
      underway = write(chunk);
    }
  } finally {
    // Nothing may go on behind the back of a caller who was told that it failed.
    await underway;
  }
}

function* chunksOf(rows: Iterable<PlannedRow>): Generator<readonly PlannedRow[]> {
  let chunk: PlannedRow[] = [];
  let units = 0;
  for (const row of rows) {
    const size = row.document?.length ?? 0;
    if (
      chunk.length > 0 &&
      (chunk.length >= REQUEST_ROWS_MAX || units + size > REQUEST_UNITS_MAX)
    ) {
      yield chunk;
      chunk = [];
      units = 0;
    }
    chunk.push(row);
    units += size;
  }
  if (chunk.length > 0) yield chunk;
}

async function writeAll(
  target: RowTarget,
  first: readonly Attempt[],
  resolve: (conflicts: readonly PlannedRow[]) => Promise<readonly Attempt[]>,
): Promise<void> {
  const { scope, cluster } = target;
  const { timeoutMs } = cluster.settings.server;
  const until = Date.now() + callMilliseconds(scope, timeoutMs, Date.now());
  let wait = PAUSE_FIRST_MS;
  let rounds = 0;
  for (let attempts = first; attempts.length > 0;) {
    const { conflicts, rejected, overload } = await send(target, attempts);
    if (overload !== undefined) {
      if (Date.now() + wait >= until) throw mapFault(writing(target), overload);
      await pause(wait);
      wait = Math.min(wait * 2, PAUSE_LAST_MS);
    }
    rounds += conflicts.length > 0 ? 1 : 0;
    if (rounds > ROUNDS_MAX) {
      throw new StoreError(
        "unavailable",
        `others keep writing the same rows of ${target.held.name}`,
      );
    }
    attempts = [...rejected, ...(conflicts.length > 0 ? await resolve(conflicts) : [])];
  }
}

interface Outcome {
  readonly conflicts: readonly PlannedRow[];
  /** What the server had no time for. */
  readonly rejected: readonly Attempt[];
  readonly overload: OpensearchFault | undefined;
}

async function send(target: RowTarget, attempts: readonly Attempt[]): Promise<Outcome> {
  const { cluster, scope, held } = target;
  const { body } = await cluster.send(scope, {
    doing: writing(target),
    method: "POST",
    path: [held.alias, "_bulk"],
    query: { require_alias: true, filter_path: "errors,items.*.status,items.*.error.type" },
    body: attempts.map(lineOf).join(""),
  });
  const outcome = { conflicts: [] as PlannedRow[], rejected: [] as Attempt[] };
  let overload: OpensearchFault | undefined;
  if (memberOf(body, "errors") === false) return { ...outcome, overload };
  const items = memberOf(body, "items");
  if (!Array.isArray(items) || items.length !== attempts.length) {
    throw new StoreError(
      "unavailable",
      "the search server answers a bulk request with something else",
    );
  }
  for (const [index, attempt] of attempts.entries()) {
    const fault = faultOf(items[index]);
    if (fault === undefined) continue;
    if (fault.status === 409) outcome.conflicts.push(attempt.row);
    else if (isOverload(fault)) {
      overload = fault;
      outcome.rejected.push(attempt);
    } else throw await itemFailure(target, fault);
  }
  return { ...outcome, overload };
}

function writing({ held }: RowTarget): string {
  return `write ${held.name}`;
}

async function itemFailure(target: RowTarget, fault: OpensearchFault): Promise<StoreError> {
  const { cluster, scope, held } = target;
  if (fault.type === "index_not_found_exception") return notPrepared({ ...held, placements: {} });
  return await cluster.failure(scope, { doing: writing(target), index: held.alias, fault });
}

/** What one item of a bulk answer says went wrong; deleting what is not there is no fault. */
function faultOf(item: unknown): OpensearchFault | undefined {
  const answer =
    memberOf(item, "index") ?? memberOf(item, "create") ?? memberOf(item, "delete") ?? item;
  const status = Number(memberOf(answer, "status"));
  const error = memberOf(answer, "error");
  return error === undefined ? undefined : readFault(status, error);
}

function lineOf({ row, guard }: Attempt): string {
  const id = documentId(row.id);
  const { sequence, document } = row;
  if (document === undefined && guard.kind === "unchanged") {
    return `${JSON.stringify({ delete: { _id: id, ...seenAs(guard) } })}\n`;
  }
  return `${JSON.stringify(actionOf(id, sequence, guard))}\n${document ?? goneText(sequence)}\n`;
}

function actionOf(id: string, sequence: number, guard: Guard): object {
  switch (guard.kind) {
    case "newer":
      return { index: { _id: id, version: sequence, version_type: "external" } };
    case "unchanged":
      return { index: { _id: id, ...seenAs(guard) } };
    case "absent":
      return { create: { _id: id } };
  }
}

function seenAs({ seqNo, term }: Guard & { readonly kind: "unchanged" }): object {
  return { if_seq_no: seqNo, if_primary_term: term };
}

/** What stays of a deleted record, so that an older version cannot come back. */
function goneText(sequence: number): string {
  return JSON.stringify({ s: sequence, gone: true });
}

/** Of rows that met a higher version, those that are newer all the same: versions run ahead after repairs. */
async function newerOnes(
  target: RowTarget,
  conflicts: readonly PlannedRow[],
): Promise<readonly Attempt[]> {
  const found = await look(target, conflicts);
  const isAnyAbsent = conflicts.some((_, index) => found[index] === undefined);
  // What the server removed for good was removed by someone who had written up to a checkpoint.
  const checkpoint = isAnyAbsent ? await target.checkpoint() : 0;
  return conflicts.flatMap((row, index): Attempt[] => {
    const stored = found[index];
    if (stored === undefined) {
      const isWanted = row.document !== undefined && row.sequence > checkpoint;
      return isWanted ? [{ row, guard: { kind: "absent" } }] : [];
    }
    if (stored.sequence >= row.sequence) return [];
    const { seqNo, term } = stored;
    const guard: Guard = { kind: "unchanged", seqNo, term };
    return [{ row: row.document === undefined ? withTombstone(row) : row, guard }];
  });
}

/** A deletion that leaves its mark also where the guard would allow to remove the document. */
function withTombstone(row: PlannedRow): PlannedRow {
  return { ...row, document: goneText(row.sequence) };
}

async function forcedOnes(
  target: RowTarget,
  rows: readonly PlannedRow[],
  round: "first" | "next",
): Promise<readonly Attempt[]> {
  const found = await look(target, rows);
  return rows.flatMap((row, index): Attempt[] => {
    const stored = found[index];
    if (stored === undefined) {
      if (row.document === undefined) return [];
      // A document that was removed a moment ago has left its version behind.
      return [{ row, guard: round === "first" ? { kind: "newer" } : { kind: "absent" } }];
    }
    const { version, seqNo, term } = stored;
    const isNewer = row.document !== undefined && version < row.sequence;
    return [{ row, guard: isNewer ? { kind: "newer" } : { kind: "unchanged", seqNo, term } }];
  });
}

/** The stored documents of rows, also what was written a moment ago. */
async function look(
  { cluster, scope, held }: RowTarget,
  rows: readonly PlannedRow[],
): Promise<readonly (Found | undefined)[]> {
  const { body } = await cluster.send(scope, {
    doing: `look at rows of ${held.name}`,
    method: "POST",
    path: [held.alias, "_mget"],
    query: { _source_includes: "s" },
    body: { ids: rows.map(({ id }) => documentId(id)) },
  });
  const docs = memberOf(body, "docs");
  if (!Array.isArray(docs)) throw new StoreError("unavailable", "the search server lists no rows");
  return rows.map((_, index) => foundIn(docs[index]));
}

function foundIn(doc: unknown): Found | undefined {
  if (memberOf(doc, "error") !== undefined) {
    throw new StoreError("unavailable", "the search server could not look at a row");
  }
  if (memberOf(doc, "found") !== true) return undefined;
  const sequence = memberOf(memberOf(doc, "_source"), "s");
  return {
    // A row whose sequence cannot be read is older than any.
    sequence: typeof sequence === "number" ? sequence : -1,
    version: Number(memberOf(doc, "_version")),
    seqNo: Number(memberOf(doc, "_seq_no")),
    term: Number(memberOf(doc, "_primary_term")),
  };
}
