import type { BucketDigest, ProjectedStore, RowDigest } from "@custody/stores/projected-store";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../../errors.ts";
import { OwnedStore } from "../../projection/owned-store.ts";
import type { ProjectionRunner } from "../../projection/projection-runner.ts";
import type { Projection } from "../../projection/projections.ts";
import type { Runtime } from "../../runtime.ts";
import { BucketSums, differingBuckets } from "./bucket-sums.ts";
import { expectedOfRange } from "./expected-range.ts";
import type { AsOf, SequenceRange } from "./expected-range.ts";
import type { ExpectedSums } from "./expected-sums.ts";
import { compareRows, FoundDifferences } from "./found-differences.ts";
import { JournalMonths } from "./journal-months.ts";
import { passJournal } from "./journal-pass.ts";
import type { PassParts } from "./journal-pass.ts";
import type { Pace } from "./pace.ts";
import { readQuarantined } from "./quarantined.ts";
import { unchangedSince } from "./stored-prints.ts";
import type { PrintedDigests } from "./stored-prints.ts";

export interface ComparisonParts extends PassParts {
  readonly runner: ProjectionRunner;
  readonly runtime: Runtime;
}

/** What a comparison came to. */
export interface Compared {
  /** The entry up to which the store was compared. */
  readonly checkpoint: number;
  readonly found: FoundDifferences;
  /** Where differing rows lie. */
  readonly ranges: readonly SequenceRange[];
  /** The rows that should be there, by month. */
  readonly months: JournalMonths;
}

/** What a store holds, summed up, and where it stood before. */
export interface StoreDigest {
  readonly before: number;
  readonly bucketSize: number;
  readonly buckets: readonly BucketDigest[];
}

// A projection that is written between looking and comparing is compared anew so often.
const ATTEMPTS_MAX = 20;
const MOVING_WAIT_MS = 5;
const ROWS_PER_PAGE = 5_000;
// With more of the rows changed, one pass over all is quicker than many over a few.
const CHANGED_SHARE_MAX = 0.3;

/** Comparison: one projection of a tenant, compared with the journal. */
export class Comparison {
  readonly #parts: ComparisonParts;
  readonly #pace: Pace;
  readonly scope: Scope;
  readonly sums: ExpectedSums;
  readonly projection: Projection;
  /** What was read of the store under which fingerprints, by an earlier comparison or by this one. */
  printed: PrintedDigests | undefined;
  #isRemembering = true;

  constructor(parts: ComparisonParts, scope: Scope, sums: ExpectedSums, pace: Pace) {
    this.#parts = parts;
    this.#pace = pace;
    this.scope = scope;
    this.sums = sums;
    this.projection = sums.projection;
  }

  /** Makes the sums ready for a pass to a checkpoint. */
  async begin(checkpoint: number): Promise<void> {
    this.sums.begin(
      checkpoint,
      await readQuarantined(this.#parts.journal, this.scope, this.projection),
    );
  }

  /** What the store holds. Rows may be written meanwhile: `finish` looks at those again. */
  async digest(): Promise<StoreDigest> {
    const before = await this.standing();
    const { bucketSize } = this.sums;
    const isInPages = this.#pace.isThrottled && !this.projection.isCounted;
    if (isInPages)
      return { before, bucketSize, buckets: await this.#digestInPages(bucketSize, before) };
    const { collection } = this.projection;
    const store = await this.#store();
    // Taken first: what is changed while rows are read then has another fingerprint the next time.
    const prints =
      store.hasFingerprints === true
        ? await store.fingerprint?.(this.scope, collection, bucketSize)
        : undefined;
    if (prints === undefined)
      return {
        before,
        bucketSize,
        buckets: await store.digest(this.scope, collection, bucketSize),
      };
    const buckets =
      (await this.#digestChanged(prints, bucketSize)) ??
      (await store.digest(this.scope, collection, bucketSize));
    this.printed = { bucketSize, prints, digests: buckets };
    return { before, bucketSize, buckets };
  }

  /** Reads the rows of changed buckets alone; `undefined` where all are better read anew. */
  async #digestChanged(
    prints: readonly BucketDigest[],
    bucketSize: number,
  ): Promise<readonly BucketDigest[] | undefined> {
    if (this.printed === undefined || this.printed.bucketSize > bucketSize) return undefined;
    const { digests, changed, changedRows } = unchangedSince(this.printed, bucketSize, prints);
    const rows = prints.reduce((sum, { count }) => sum + count, 0);
    // Rows that records share are of no range that could be read anew by itself.
    const isWhole = changed.some((bucket) => bucket < 0 || this.projection.isCounted);
    if (isWhole || changedRows > rows * CHANGED_SHARE_MAX) return undefined;
    const sums = new BucketSums(bucketSize);
    for (const range of this.#rangesOf(changed)) {
      for await (const { sequence, hash } of this.#stored(range))
        sums.add(sequence, BigInt(`0x${hash}`));
    }
    return [...digests, ...sums.digests()].sort((left, right) => left.bucket - right.bucket);
  }

  /** Compares what a store holds with the journal, down to the very rows. */
  async finish(given: StoreDigest): Promise<Compared> {
    return this.projection.isCounted ? this.#finishCounted(given) : this.#finishRows(given);
  }

  /** Compares the rows of ranges one by one; ranges are taken in turn, so memory is that of one. */
  async compareRanges(ranges: readonly SequenceRange[]): Promise<Compared> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const checkpoint = await this.standing();
      const drilled = await this.#drill(ranges, checkpoint);
      if (drilled.found.size === 0 || (await this.standing()) === checkpoint)
        return { checkpoint, ranges, ...drilled };
    }
    throw this.#tooFast("compared");
  }

  /** Where the store stands, once none of its files is written beyond that. @throws CoreError `failed`. */
  async standing(): Promise<number> {
    const store = await this.#store();
    const { collection } = this.projection;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const checkpoint = await store.checkpoint(this.scope, collection);
      if (!(store instanceof OwnedStore)) return checkpoint;
      if ((await store.underway(this.scope, collection)) <= checkpoint) return checkpoint;
      await this.#parts.runtime.sleep(MOVING_WAIT_MS);
    }
    throw this.#tooFast("compared");
  }

  async #finishRows({ before, bucketSize, buckets }: StoreDigest): Promise<Compared> {
    const checkpoint = await this.standing();
    await this.#bring(checkpoint);
    const actual = new BucketSums(bucketSize, buckets);
    actual.widen(this.sums.bucketSize);
    const ranges = this.#rangesOf(differingBuckets(this.sums.digests(), actual.digests()));
    const { months } = this.sums;
    if (ranges.length === 0) return { checkpoint, found: new FoundDifferences(), ranges, months };
    const compared = { ...(await this.compareRanges(ranges)), months };
    const isUnexplained = compared.found.size === 0 && before === checkpoint;
    if (!isUnexplained || !this.#isRemembering) return compared;
    // The store and the journal agree row by row: what was remembered is wrong, and made anew.
    this.sums.forget();
    this.printed = undefined;
    this.#isRemembering = false;
    await this.begin(checkpoint);
    return this.#finishRows(await this.digest());
  }

  /** Rows that records share are of no entry: they can only be compared where the store stands still. */
  async #finishCounted(given: StoreDigest): Promise<Compared> {
    let digest = given;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const checkpoint = await this.standing();
      if (checkpoint === digest.before) {
        await this.#bring(checkpoint);
        const differing = differingBuckets(this.sums.digests(), digest.buckets);
        const ranges = this.#rangesOf(differing);
        const same = {
          checkpoint,
          ranges,
          found: new FoundDifferences(),
          months: this.sums.months,
        };
        if (ranges.length === 0) return same;
        const { found } = await this.#drill(ranges, checkpoint);
        if ((await this.standing()) === checkpoint) return { ...same, found };
      }
      digest = await this.digest();
    }
    throw this.#tooFast("compared");
  }

  async #bring(checkpoint: number): Promise<void> {
    await this.begin(checkpoint);
    const target = { sums: this.sums, upTo: checkpoint };
    await passJournal(this.#parts, this.scope, [target], { pace: this.#pace });
  }

  #rangesOf(buckets: readonly number[]): readonly SequenceRange[] {
    const { bucketSize } = this.sums;
    return buckets.map((bucket) => ({ from: bucket * bucketSize, to: (bucket + 1) * bucketSize }));
  }

  async #drill(
    ranges: readonly SequenceRange[],
    checkpoint: number,
  ): Promise<Pick<Compared, "found" | "months">> {
    const quarantined = await readQuarantined(this.#parts.journal, this.scope, this.projection);
    const found = new FoundDifferences();
    const months = new JournalMonths();
    for (const range of ranges) {
      await this.#drillRange(range, { checkpoint, quarantined, months }, found);
      if (found.isCut) break;
    }
    return { found, months };
  }

  async #drillRange(range: SequenceRange, asOf: AsOf, found: FoundDifferences): Promise<void> {
    const expected = await expectedOfRange(this.#parts, this, range, asOf);
    for await (const row of this.#stored(range)) {
      const difference = compareRows(expected.get(row.id), row);
      expected.delete(row.id);
      if (difference !== undefined) found.add(difference);
    }
    for (const { id, sequence } of expected.values()) found.add({ kind: "missing", id, sequence });
  }

  async *#stored({ from, to }: SequenceRange): AsyncGenerator<RowDigest> {
    const store = await this.#store();
    let cursor: string | undefined;
    do {
      const page = await store.list(this.scope, this.projection.collection, {
        fromSequence: from,
        toSequence: to,
        limit: ROWS_PER_PAGE,
        ...(cursor === undefined ? {} : { cursor }),
      });
      yield* page.rows;
      await this.#pace.rest(page.rows.length);
      ({ cursor } = page);
    } while (cursor !== undefined);
  }

  /** The same digests, made of pages with rests between them: a digest inside the engine knows none. */
  async #digestInPages(bucketSize: number, checkpoint: number): Promise<readonly BucketDigest[]> {
    const sums = new BucketSums(bucketSize);
    for (const range of this.#chunks(checkpoint)) {
      for await (const { sequence, hash } of this.#stored(range))
        sums.add(sequence, BigInt(`0x${hash}`));
    }
    return sums.digests();
  }

  /** Ranges of about a page of rows each, from the first sequence to the last there can be. */
  *#chunks(checkpoint: number): Generator<SequenceRange> {
    const { bucketSize } = this.sums;
    let from = 0;
    let rows = 0;
    for (const { bucket, count } of this.sums.digests()) {
      rows += count;
      const to = (bucket + 1) * bucketSize;
      if (rows < ROWS_PER_PAGE || to > checkpoint) continue;
      yield { from, to };
      from = to;
      rows = 0;
    }
    yield { from, to: Number.MAX_SAFE_INTEGER };
  }

  async #store(): Promise<ProjectedStore<unknown>> {
    return await this.#parts.runner.store(this.projection);
  }

  #tooFast(what: string): CoreError {
    const { role, name } = this.projection;
    return new CoreError(
      "failed",
      `${role} ${name} is being written too fast to be ${what}; try again`,
    );
  }
}
