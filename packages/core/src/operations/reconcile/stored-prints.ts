import type { BucketDigest } from "@custody/stores/projected-store";
import type { Scope } from "@custody/stores/scope";

import type { Projection } from "../../projection/projections.ts";
import { BucketSums, differingBuckets } from "./bucket-sums.ts";
import { putSealed, readSealed } from "./sealed-state.ts";
import type { RememberingParts } from "./sealed-state.ts";

/** Fingerprints of a store's buckets, and the digests of the same rows, read after them. */
export interface PrintedDigests {
  readonly bucketSize: number;
  readonly prints: readonly BucketDigest[];
  readonly digests: readonly BucketDigest[];
}

interface Bound extends PrintedDigests {
  readonly form: number;
  readonly tenant: string;
  readonly fingerprint: string;
  readonly generation: number;
}

/** What an unchanged store need not be asked again, and what it must be. */
export interface Unchanged {
  /** Digests of the buckets whose stored bytes are what they were. */
  readonly digests: readonly BucketDigest[];
  /** Numbers of the other buckets; those below 0 belong to no row. */
  readonly changed: readonly number[];
  /** Rows in those. */
  readonly changedRows: number;
}

const FORM = 1;

/** Tells which buckets' digests still stand: those whose fingerprint is the one their rows were read under. */
export function unchangedSince(
  known: PrintedDigests,
  bucketSize: number,
  prints: readonly BucketDigest[],
): Unchanged {
  const before = new BucketSums(known.bucketSize, known.prints);
  const digests = new BucketSums(known.bucketSize, known.digests);
  before.widen(bucketSize);
  digests.widen(bucketSize);
  const changed = differingBuckets(before.digests(), prints);
  const isChanged = new Set(changed);
  const counted = prints.filter(({ bucket }) => isChanged.has(bucket) && bucket >= 0);
  return {
    digests: digests.digests().filter(({ bucket }) => !isChanged.has(bucket)),
    changed,
    changedRows: counted.reduce((sum, { count }) => sum + count, 0),
  };
}

/** What an earlier comparison read of the same build; `undefined` where it is not to be relied on. */
export async function recallPrints(
  parts: RememberingParts,
  scope: Scope,
  projection: Projection,
): Promise<PrintedDigests | undefined> {
  // Only what we wrote ourselves bears the seal.
  const bound = (await readSealed(parts, scope, stateName(projection))) as Bound | undefined;
  const isSame =
    bound?.form === FORM &&
    bound.tenant === scope.tenant &&
    bound.fingerprint === projection.fingerprint &&
    bound.generation === projection.collection.generation;
  return isSame ? bound : undefined;
}

/** Writes down what was read. */
export async function rememberPrints(
  parts: RememberingParts,
  scope: Scope,
  projection: Projection,
  printed: PrintedDigests,
): Promise<void> {
  const { fingerprint, collection } = projection;
  const { generation } = collection;
  const bound: Bound = { form: FORM, tenant: scope.tenant, fingerprint, generation, ...printed };
  await putSealed(parts, scope, stateName(projection), bound);
}

function stateName({ role, name }: Pick<Projection, "role" | "name">): string {
  return `reconcile/prints/${role}/${name}`;
}
