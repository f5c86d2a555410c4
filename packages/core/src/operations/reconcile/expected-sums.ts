import { rowHash } from "@custody/stores/content-form";
import type { BucketDigest } from "@custody/stores/projected-store";

import { ownerFactor } from "../../projection/owner-digest.ts";
import type { Projection } from "../../projection/projections.ts";
import { expectedRows } from "../expected-rows.ts";
import type { ExpectedRow, ExpectedRows, LiveRecord } from "../expected-rows.ts";
import { BucketSums, bucketSizeFor } from "./bucket-sums.ts";
import { JournalMonths } from "./journal-months.ts";
import type { JournalMonth } from "./journal-months.ts";

const UINT64 = 2n ** 64n;
// Owners whose factor is kept at hand; one more is computed anew.
const FACTORS_MAX = 10_000;

/** What is known of a projection's rows as of a point in the journal. */
export interface SumsSnapshot {
  /** The last entry that is in the sums. */
  readonly position: number;
  readonly bucketSize: number;
  readonly buckets: readonly BucketDigest[];
  readonly months: readonly JournalMonth[];
  /** Names the quarantined records, which are not in the sums. */
  readonly quarantine: string;
}

/** Which records of a projection are quarantined, and in which version. */
export interface Quarantined {
  /** Version by `type\0id`. */
  readonly versions: ReadonlyMap<string, number>;
  /** Changes when they do. */
  readonly key: string;
}

/** ExpectedSums: what a projection's store should hold, summed up, brought forward with the journal. */
export class ExpectedSums {
  readonly projection: Projection;
  #rows: ExpectedRows;
  #sums = new BucketSums(1);
  #months = new JournalMonths();
  #quarantined: Quarantined = { versions: new Map(), key: "" };
  readonly #factors = new Map<string, bigint>();
  /** The last entry that is in the sums. */
  position = 0;

  constructor(projection: Projection) {
    this.projection = projection;
    this.#rows = expectedRows(projection);
  }

  /** Goes on from what was written down. */
  recall(snapshot: SumsSnapshot): void {
    this.#sums = new BucketSums(snapshot.bucketSize, snapshot.buckets);
    this.#months = new JournalMonths(snapshot.months);
    this.#quarantined = { versions: new Map(), key: snapshot.quarantine };
    this.position = snapshot.position;
  }

  /**
   * Makes ready to be brought to a checkpoint. What cannot be brought forward begins anew: sums under
   * another quarantine, and rows that many records share, whose earlier form is not known.
   */
  begin(checkpoint: number, quarantined: Quarantined): void {
    const isOther = this.position > 0 && quarantined.key !== this.#quarantined.key;
    const isShared = this.projection.isCounted && this.position !== checkpoint;
    if (isOther || isShared || this.position > checkpoint) this.forget();
    this.#quarantined = quarantined;
    if (this.position === 0) this.#sums = new BucketSums(bucketSizeFor(checkpoint));
    else this.#sums.widen(bucketSizeFor(checkpoint));
  }

  /** Begins anew with the journal's first entry. */
  forget(): void {
    this.#rows = expectedRows(this.projection);
    this.#sums = new BucketSums(1);
    this.#months = new JournalMonths();
    this.position = 0;
  }

  entry(sequence: number, receivedAt: number): void {
    this.#months.entry(sequence, receivedAt);
  }

  add(record: LiveRecord): void {
    const row = this.#rowOf(record);
    if (row === undefined) return;
    this.#sums.add(row.sequence, this.#hash(row));
    this.#months.count(row.sequence, 1);
  }

  /** Takes back the version that was live before. */
  takeBack(record: LiveRecord): void {
    const row = this.#rowOf(record);
    if (row === undefined) return;
    this.#sums.takeBack(row.sequence, this.#hash(row));
    this.#months.count(row.sequence, -1);
  }

  /** Ends a pass over the journal. */
  end(checkpoint: number): void {
    if (this.projection.isCounted && this.position !== checkpoint) {
      for (const row of this.#rows.shared()) this.#sums.add(row.sequence, this.#hash(row));
      // The rows are summed up; what they were made of is let go.
      this.#rows = expectedRows(this.projection);
    }
    this.position = checkpoint;
  }

  digests(): readonly BucketDigest[] {
    return this.#sums.digests();
  }

  get bucketSize(): number {
    return this.#sums.bucketSize;
  }

  get months(): JournalMonths {
    return this.#months;
  }

  snapshot(): SumsSnapshot {
    return {
      position: this.position,
      bucketSize: this.#sums.bucketSize,
      buckets: this.#sums.digests(),
      months: this.#months.list(),
      quarantine: this.#quarantined.key,
    };
  }

  #rowOf(record: LiveRecord): ExpectedRow | undefined {
    const key = `${record.type}\0${record.id}`;
    if (this.#quarantined.versions.get(key) === record.sequence) return undefined;
    return this.#rows.row(record);
  }

  #hash({ id, sequence, content, owner }: ExpectedRow): bigint {
    const hash = rowHash(id, sequence, content);
    return owner === undefined ? hash : (hash * this.#factor(owner)) % UINT64;
  }

  #factor(owner: string): bigint {
    const factor = this.#factors.get(owner) ?? ownerFactor(owner);
    if (this.#factors.size < FACTORS_MAX) this.#factors.set(owner, factor);
    return factor;
  }
}
