import type { Scope } from "@custody/stores/scope";

import type { ProjectionPlan } from "../../projection/projections.ts";
import type { ExpectedSums, SumsSnapshot } from "./expected-sums.ts";
import { putSealed, readSealed } from "./sealed-state.ts";
import type { RememberingParts } from "./sealed-state.ts";

/** What binds remembered sums to what they were made of. */
interface Bound extends SumsSnapshot {
  readonly form: number;
  readonly tenant: string;
  /** The mapping by which rows are made. */
  readonly fingerprint: string;
  /** Hash of the entry at `position`, and through the chain of every entry before it; hex. */
  readonly entryHash: string;
}

// Raised when the way rows are made of records changes in this program: older sums are then not used.
const FORM = 1;

/**
 * Takes sums up where an earlier comparison left them. They are left alone where they were made under
 * another mapping or journal, or are not sealed under the tenant's key: a new pass costs time, no more.
 */
export async function recallSums(
  parts: RememberingParts,
  scope: Scope,
  sums: ExpectedSums,
): Promise<void> {
  // Only what we wrote ourselves bears the seal.
  const bound = (await readSealed(parts, scope, stateName(sums.projection))) as Bound | undefined;
  if (bound === undefined) return;
  if (bound.form !== FORM || bound.tenant !== scope.tenant) return;
  if (bound.fingerprint !== sums.projection.fingerprint) return;
  const entry = await parts.journal.entry(scope, bound.position);
  if (entry === undefined || hexOf(entry.hash) !== bound.entryHash) return;
  sums.recall(bound);
}

/** Writes sums down, bound to the journal's chain and sealed under the tenant's key. */
export async function rememberSums(
  parts: RememberingParts,
  scope: Scope,
  sums: ExpectedSums,
): Promise<void> {
  const { projection, position } = sums;
  const entry = await parts.journal.entry(scope, position);
  if (entry === undefined) return;
  const bound: Bound = {
    form: FORM,
    tenant: scope.tenant,
    fingerprint: projection.fingerprint,
    entryHash: hexOf(entry.hash),
    ...sums.snapshot(),
  };
  await putSealed(parts, scope, stateName(projection), bound);
}

function stateName({ role, name }: Pick<ProjectionPlan, "role" | "name">): string {
  return `reconcile/sums/${role}/${name}`;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
