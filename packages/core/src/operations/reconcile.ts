import { DigestSums, hashText, rowHash } from "@custody/stores/content-form";
import { parseJson } from "@custody/contract/json";
import type { BucketDigest, ProjectedStore, RowDigest } from "@custody/stores/projected-store";
import { makeBatch, recordText } from "@custody/stores/record-batch";
import type { JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { Difference, ReconcileReport } from "../reports.ts";
import { CoreError } from "../errors.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import { bindRow, ownerFactor } from "../projection/owner-digest.ts";
import { OwnedStore } from "../projection/owned-store.ts";
import type { ProjectionRunner } from "../projection/projection-runner.ts";
import type { Projection } from "../projection/projections.ts";
import type { ProjectedRole } from "../stores.ts";
import { expectedRows } from "./expected-rows.ts";
import type { ExpectedRow, LiveRecord } from "./expected-rows.ts";

export interface ReconcileParts {
  readonly journal: JournalStore;
  readonly reader: JournalReader;
  readonly runner: ProjectionRunner;
}

type ProjectionReport = ReconcileReport["projections"][number];

const EXAMPLES_MAX = 1_000;
// A projection that is written between looking and comparing is compared anew so often.
const ATTEMPTS_MAX = 20;
const BUCKETS_WANTED = 4_096;
const ROWS_PER_PAGE = 5_000;
const ENTRIES_PER_STEP = 256;

/**
 * Compares projections with the journal: digests by sequence range first, then the rows of the ranges
 * that differ. Rows known to be quarantined are not missed.
 *
 * @throws CoreError `failed` for a projection that never stands still for long enough to be compared.
 */
export async function reconcile(
  parts: ReconcileParts,
  scope: Scope,
  options: { readonly roles?: readonly ProjectedRole[]; readonly repair?: boolean },
): Promise<ReconcileReport> {
  const projections: ProjectionReport[] = [];
  const choice = options.roles === undefined ? {} : { roles: options.roles };
  for (const plan of parts.runner.plans(scope, choice)) {
    if ((await parts.journal.lastSequence(scope, plan.types)) === 0) continue;
    await parts.runner.catchUp(scope, { roles: [plan.role], names: [plan.name] });
    const { projection } = await parts.runner.active(scope, plan);
    const comparison = new Comparison(parts, scope, projection);
    const report = await comparison.run();
    projections.push(options.repair === true ? await comparison.repair(report) : report);
  }
  return {
    ok: projections.every(({ differences, repaired }) => differences === repaired),
    projections,
  };
}

/** One projection being compared. */
class Comparison {
  readonly #parts: ReconcileParts;
  readonly #scope: Scope;
  readonly #projection: Projection;

  constructor(parts: ReconcileParts, scope: Scope, projection: Projection) {
    this.#parts = parts;
    this.#scope = scope;
    this.#projection = projection;
  }

  async run(): Promise<ProjectionReport> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const report = await this.#compare();
      if (report !== undefined) return report;
    }
    const { role, name } = this.#projection;
    throw new CoreError(
      "failed",
      `${role} ${name} is being written too fast to be compared; try again`,
    );
  }

  /** One comparison; `undefined` when the store went on meanwhile, as its rows are then of two states. */
  async #compare(): Promise<ProjectionReport | undefined> {
    const store = await this.#store();
    const { collection, role, name } = this.#projection;
    const checkpoint = await this.#checkpoint();
    if (checkpoint === undefined) return undefined;
    const bucketSize = Math.max(1, Math.ceil(checkpoint / BUCKETS_WANTED));
    const actual = await store.digest(this.#scope, collection, bucketSize);
    if ((await this.#checkpoint()) !== checkpoint) return undefined;
    const quarantined = await this.#quarantined();
    const sums = new DigestSums(bucketSize);
    let records = 0;
    await this.#expect(checkpoint, quarantined, (row) => {
      sums.add(row.sequence, BigInt(`0x${row.hash}`));
      records += 1;
    });
    const differing = differingBuckets(sums.digests(), actual);
    const found =
      differing.size === 0
        ? []
        : await this.#drill(differing, { checkpoint, bucketSize, quarantined });
    if (found.length > 0 && (await this.#checkpoint()) !== checkpoint) return undefined;
    return {
      role,
      name,
      checkpoint,
      records,
      differences: found.length,
      examples: found.slice(0, EXAMPLES_MAX),
      repaired: 0,
    };
  }

  /** Writes the differing rows anew, or rebuilds where rows are shared by records. */
  async repair(report: ProjectionReport): Promise<ProjectionReport> {
    const { role, name } = this.#projection;
    if (report.differences === 0) return report;
    const [type, ...others] = this.#projection.types;
    const isRowPerRecord = type !== undefined && others.length === 0 && !this.#projection.isCounted;
    if (!isRowPerRecord || report.differences > EXAMPLES_MAX) {
      await this.#parts.runner.rebuild(this.#scope, { roles: [role], names: [name] });
      return { ...report, repaired: report.differences };
    }
    const ids = report.examples.map(({ id }) => id);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const checkpoint = await this.#checkpoint();
      if (checkpoint === undefined) continue;
      await this.#repairRows(type, ids, checkpoint);
      // What the projector wrote meanwhile may have been overwritten with what was before it.
      if ((await this.#checkpoint()) === checkpoint)
        return { ...report, repaired: report.differences };
    }
    throw new CoreError(
      "failed",
      `${role} ${name} is being written too fast to be repaired; try again`,
    );
  }

  /** Makes rows what the journal says at a checkpoint. */
  async #repairRows(type: string, ids: readonly string[], checkpoint: number): Promise<void> {
    const quarantined = await this.#quarantined();
    const positions = await this.#parts.journal.lookupBefore(
      this.#scope,
      type,
      ids.map((id) => ({ id, sequence: checkpoint + 1 })),
    );
    const records = [];
    for (const [index, id] of ids.entries()) {
      const position = positions[index];
      const isRefused = quarantined.get(`${type}\0${id}`) === position?.sequence;
      if (position === undefined || position.isDeleted || isRefused)
        records.push({ id, sequence: checkpoint });
      else {
        const { text, line } = await this.#parts.reader.recordAt(this.#scope, position);
        const observed = line.observedAt === undefined ? {} : { observedAt: line.observedAt };
        records.push({ id, sequence: position.sequence, text, ...observed });
      }
    }
    const store = await this.#store();
    await store.repair(this.#scope, this.#projection.collection, makeBatch(type, records));
  }

  /** Where the store stands; `undefined` while some of its files are written beyond that. */
  async #checkpoint(): Promise<number | undefined> {
    const store = await this.#store();
    const { collection } = this.#projection;
    const checkpoint = await store.checkpoint(this.#scope, collection);
    const isUnderWay =
      store instanceof OwnedStore && (await store.underway(this.#scope, collection)) > checkpoint;
    return isUnderWay ? undefined : checkpoint;
  }

  /** Compares the rows of differing buckets one by one. */
  async #drill(
    buckets: ReadonlySet<number>,
    options: DrillOptions,
  ): Promise<readonly Difference[]> {
    const { checkpoint, bucketSize, quarantined } = options;
    const expected = new Map<string, RowDigest>();
    await this.#expect(checkpoint, quarantined, (row) => {
      if (buckets.has(Math.floor(row.sequence / bucketSize))) expected.set(row.id, row);
    });
    const differences: Difference[] = [];
    for (const bucket of buckets) {
      for await (const row of this.#stored(bucket * bucketSize, (bucket + 1) * bucketSize)) {
        const wanted = expected.get(row.id);
        expected.delete(row.id);
        const difference = compareRows(wanted, row);
        if (difference !== undefined) differences.push(difference);
      }
    }
    for (const { id, sequence } of expected.values())
      differences.push({ kind: "missing", id, sequence });
    return this.#withoutMoved(differences);
  }

  /** A row with another sequence is extra in one bucket and missing in another: it is one stale row. */
  #withoutMoved(differences: readonly Difference[]): readonly Difference[] {
    const byId = new Map<string, Difference>();
    for (const difference of differences) {
      const other = byId.get(difference.id);
      byId.set(difference.id, other === undefined ? difference : { ...difference, kind: "stale" });
    }
    return [...byId.values()];
  }

  async *#stored(fromSequence: number, toSequence: number): AsyncGenerator<RowDigest> {
    const store = await this.#store();
    let cursor: string | undefined;
    do {
      const page = await store.list(this.#scope, this.#projection.collection, {
        fromSequence,
        toSequence,
        limit: ROWS_PER_PAGE,
        ...(cursor === undefined ? {} : { cursor }),
      });
      yield* page.rows;
      ({ cursor } = page);
    } while (cursor !== undefined);
  }

  /** Tells every row the store should hold, reading the journal once from its start. */
  async #expect(
    checkpoint: number,
    quarantined: ReadonlyMap<string, number>,
    onRow: (row: RowDigest) => void,
  ): Promise<void> {
    const expected = expectedRows(this.#projection);
    const factors = new Map<string, bigint>();
    const tell = ({ id, sequence, content, owner }: ExpectedRow): void => {
      const row = { id, sequence, hash: hashText(rowHash(id, sequence, content)) };
      if (owner === undefined) return onRow(row);
      const factor = factors.get(owner) ?? ownerFactor(owner);
      factors.set(owner, factor);
      onRow(bindRow(factor, row, this.#projection.isCounted));
    };
    for await (const record of this.#liveRecords(checkpoint)) {
      if (quarantined.get(`${record.type}\0${record.id}`) === record.sequence) continue;
      const row = expected.row(record);
      if (row !== undefined) tell(row);
    }
    for (const row of expected.shared()) tell(row);
  }

  /** The records that were live at a checkpoint, in journal order. */
  async *#liveRecords(checkpoint: number): AsyncGenerator<LiveRecord> {
    const { journal } = this.#parts;
    let after = 0;
    for (;;) {
      const entries = await journal.entries(this.#scope, {
        after,
        type: this.#projection.types,
        limit: ENTRIES_PER_STEP,
      });
      for (const entry of entries) {
        if (entry.sequence > checkpoint) return;
        after = entry.sequence;
        yield* this.#liveOf(entry, checkpoint);
      }
      if (entries.length < ENTRIES_PER_STEP) return;
    }
  }

  /** The records of an entry of which no later version existed at the checkpoint. */
  async *#liveOf(entry: StoredEntry, checkpoint: number): AsyncGenerator<LiveRecord> {
    const { journal, reader } = this.#parts;
    const { batch } = await reader.readRecords(this.#scope, entry);
    const keys = batch.ids.map((id) => ({ id, sequence: checkpoint + 1 }));
    const latest = await journal.lookupBefore(this.#scope, entry.type, keys);
    for (const [index, id] of batch.ids.entries()) {
      if (batch.removed[index] === 1 || latest[index]?.sequence !== entry.sequence) continue;
      const text = Buffer.from(recordText(batch, index)).toString("utf8");
      const observedAt = batch.observedAt[index] ?? Number.NaN;
      yield { type: entry.type, id, sequence: entry.sequence, fields: parseJson(text), observedAt };
    }
  }

  /** The version in which each record is quarantined. */
  async #quarantined(): Promise<ReadonlyMap<string, number>> {
    const { role, name } = this.#projection;
    const rows = await this.#parts.journal.quarantine(this.#scope, {
      role,
      collection: name,
      limit: 100_000,
    });
    return new Map(rows.map(({ type, id, sequence }) => [`${type}\0${id}`, sequence]));
  }

  async #store(): Promise<ProjectedStore<unknown>> {
    return await this.#parts.runner.store(this.#projection);
  }
}

interface DrillOptions {
  readonly checkpoint: number;
  readonly bucketSize: number;
  readonly quarantined: ReadonlyMap<string, number>;
}

function compareRows(wanted: RowDigest | undefined, row: RowDigest): Difference | undefined {
  const { id, sequence } = row;
  if (wanted === undefined) return { kind: "extra", id, sequence };
  if (wanted.sequence !== sequence) return { kind: "stale", id, sequence };
  return wanted.hash === row.hash ? undefined : { kind: "altered", id, sequence };
}

function differingBuckets(
  expected: readonly BucketDigest[],
  actual: readonly BucketDigest[],
): ReadonlySet<number> {
  const known = new Map(expected.map((digest) => [digest.bucket, digest]));
  const differing = new Set<number>();
  for (const { bucket, count, sum } of actual) {
    const wanted = known.get(bucket);
    known.delete(bucket);
    if (wanted?.count !== count || wanted.sum !== sum) differing.add(bucket);
  }
  for (const bucket of known.keys()) differing.add(bucket);
  return differing;
}
