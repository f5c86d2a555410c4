import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type {
  FileCheck,
  NotCompared,
  ProjectionCompared,
  ReconcileProgress,
  ReconcileReport,
} from "../reports.ts";
import type { ProjectedRole } from "../stores.ts";
import { Pace } from "./reconcile/pace.ts";
import type { Throttle } from "./reconcile/pace.ts";
import { checkStoredFiles } from "./reconcile/stored-files.ts";
import type { StoredFilesParts } from "./reconcile/stored-files.ts";
import { compareTenant } from "./reconcile/tenant-comparison.ts";
import type { TenantParts } from "./reconcile/tenant-comparison.ts";

/** What `reconcile` compares, how thoroughly, and how much of the machine it may take. */
export interface ReconcileOptions {
  /** Default all. */
  readonly roles?: readonly ProjectedRole[];
  /** Makes what differs what it should be. */
  readonly repair?: boolean;
  /** Uses nothing that earlier comparisons remembered, and reads every segment and original file whole. */
  readonly deep?: boolean;
  readonly allTenants?: boolean;
  /** Only what was received at this time or later; epoch milliseconds. Rows that records share are left out. */
  readonly since?: number;
  /** Only what was received before this time; epoch milliseconds. */
  readonly until?: number;
  /** Default none: somebody is waiting. `BACKGROUND_THROTTLE` is meant for schedules. */
  readonly throttle?: Throttle;
  /** Continues a run with the same options that was interrupted, and can itself be continued. */
  readonly resume?: boolean;
  readonly onProgress?: (progress: ReconcileProgress) => void;
  /** Ends it with `failed`; what was compared until then is kept for a run that continues it. */
  readonly signal?: AbortSignal;
}

/** What is compared, and by what. */
export interface ReconcileParts extends TenantParts, StoredFilesParts {}

/**
 * Compares projections with the journal: digests by sequence range first, then the rows of the ranges
 * that differ. Rows known to be quarantined are not missed.
 *
 * What a store holds is read anew each time. What it should hold is remembered, bound to the journal's
 * chain and sealed, and brought forward with what was committed since.
 *
 * A store that does not answer keeps back its own projections alone: they are told as not compared.
 *
 * @throws CoreError `failed` for a projection that never stands still for long enough to be compared, or
 *   when the signal ends it; `usage` for options that contradict each other.
 */
export async function reconcile(
  parts: ReconcileParts,
  scope: Scope,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  if ((options.since ?? 0) > (options.until ?? Number.POSITIVE_INFINITY))
    throw new CoreError("usage", "`since` lies after `until`");
  const pace = new Pace(parts.runtime, options.throttle, options.signal);
  const tenants = options.allTenants === true ? await parts.journal.tenants() : [scope.tenant];
  const projections: ProjectionCompared[] = [];
  const notCompared: NotCompared[] = [];
  const checks: FileCheck[] = [];
  for (const tenant of tenants) {
    const own = { ...scope, tenant };
    const ofTenant = await compareTenant(parts, own, options, pace);
    projections.push(...ofTenant.projections);
    notCompared.push(...ofTenant.notCompared);
    if (options.deep !== true) continue;
    options.onProgress?.({ tenant, phase: "files", done: 0, of: 1 });
    checks.push(await checkStoredFiles(parts, own, pace));
    options.onProgress?.({ tenant, phase: "files", done: 1, of: 1 });
  }
  const files = options.deep === true ? joinChecks(checks) : undefined;
  const isSame = projections.every(({ differences, repaired }) => differences === repaired);
  return {
    ok: isSame && notCompared.length === 0 && (files?.faults.length ?? 0) === 0,
    projections,
    notCompared,
    ...(files === undefined ? {} : { files }),
  };
}

function joinChecks(checks: readonly FileCheck[]): FileCheck {
  const sum = (count: (check: FileCheck) => number): number =>
    checks.reduce((total, check) => total + count(check), 0);
  return {
    segments: sum(({ segments }) => segments),
    originals: sum(({ originals }) => originals),
    withoutKey: sum(({ withoutKey }) => withoutKey),
    bytes: sum(({ bytes }) => bytes),
    faults: checks.flatMap(({ faults }) => faults),
  };
}
