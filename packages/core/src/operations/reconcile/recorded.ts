import type { Scope } from "@custody/stores/scope";

import type { Answers } from "../../cache/answers.ts";
import { tenantScope } from "../../projection/owner-scope.ts";
import type { ProjectionCompared, ReconcileReport } from "../../reports.ts";
import type { AuditLog } from "../audit.ts";
import { reconcile } from "../reconcile.ts";
import type { ReconcileOptions, ReconcileParts } from "../reconcile.ts";

/** What a comparison that is written down needs besides. */
export interface RecordedParts extends ReconcileParts {
  readonly audit: AuditLog;
  readonly answers: Pick<Answers, "forget">;
}

// Enough to see in the audit log what was wrong; the report has up to 1,000.
const EXAMPLES_MAX = 10;

/** Compares, and writes down in each tenant's journal what was found and repaired there. */
export async function reconcileRecorded(
  parts: RecordedParts,
  given: Scope,
  options: ReconcileOptions,
): Promise<ReconcileReport> {
  const scope = tenantScope(given);
  const action = { action: "reconcile", resource: options.roles?.join(" ") ?? "all" };
  let report: ReconcileReport;
  try {
    report = await reconcile(parts, scope, options);
  } catch (cause) {
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : "error";
    await parts.audit.write(scope, { ...action, metadata: { reason } }, "failed");
    throw cause;
  } finally {
    if (options.repair === true) await forgetAnswers(parts, scope, options);
  }
  const told = [...report.projections, ...report.notCompared];
  const tenants = new Set([scope.tenant, ...told.map(({ tenant }) => tenant)]);
  for (const tenant of tenants) {
    const metadata = metadataOf(report, tenant, options);
    await parts.audit.write({ ...scope, tenant }, { ...action, metadata }, "done");
  }
  return report;
}

async function forgetAnswers(
  { answers, journal }: RecordedParts,
  scope: Scope,
  { allTenants }: ReconcileOptions,
): Promise<void> {
  const tenants = allTenants === true ? await journal.tenants() : [scope.tenant];
  for (const tenant of tenants) await answers.forget({ ...scope, tenant });
}

function metadataOf(
  { projections, notCompared, files }: ReconcileReport,
  tenant: string,
  { deep, repair }: ReconcileOptions,
): Readonly<Record<string, unknown>> {
  const own = projections.filter((one) => one.tenant === tenant);
  const differing = own.filter(({ differences }) => differences > 0);
  const left = notCompared.filter((one) => one.tenant === tenant);
  const faults = files?.faults.filter((fault) => fault.tenant === tenant) ?? [];
  return {
    records: own.reduce((sum, { records }) => sum + records, 0),
    differences: own.reduce((sum, { differences }) => sum + differences, 0),
    ...(repair === true ? { repaired: own.reduce((sum, { repaired }) => sum + repaired, 0) } : {}),
    ...(deep === true ? { files_damaged: faults.length } : {}),
    ...(left.length === 0
      ? {}
      : { not_compared: left.map(({ role, name, reason }) => ({ role, name, reason })) }),
    ...(differing.length === 0 ? {} : { found: differing.map(foundIn) }),
  };
}

function foundIn({ role, name, kinds, repaired, examples }: ProjectionCompared): object {
  return { role, name, ...kinds, repaired, examples: examples.slice(0, EXAMPLES_MAX) };
}
