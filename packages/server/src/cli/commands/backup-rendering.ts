import type {
  BackupSummary,
  CreatedBackup,
  ListedBackup,
} from "@custody/core/operations/backup-operations";
import type { BackupProgress } from "@custody/core/backup/create-backup";
import type { RestoredRecords } from "@custody/core/backup/restore-records";
import type { PrunedBackups } from "@custody/core/backup/retention-prune";
import type { DrillReport } from "@custody/core/backup/drill";
import type { ShippingLag } from "@custody/core/backup/ship-continuously";
import type { BackupVerifyReport } from "@custody/core/backup/verify-backup";

import {
  countOf,
  formatBytes,
  formatDuration,
  formatInstant,
  formatNumber,
} from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import type { CommandRun } from "../session.ts";

type Output = Pick<CommandRun, "paint" | "terminal">;

/** A list of backups, oldest first, as a page for people. */
export function renderBackups(
  { paint, terminal }: Output,
  backups: readonly ListedBackup[],
): string {
  if (backups.length === 0) return "there is no backup yet; `custody backup create` makes one\n";
  const rows = backups.map((one) => {
    if ("fault" in one)
      return [
        { text: one.backupId, style: "name" as const },
        { text: one.fault, style: "bad" as const },
      ];
    const state = one.isVerified ? { text: "verified", style: "good" as const } : "";
    return [
      { text: one.backupId, style: "name" as const },
      one.kind,
      formatInstant(one.createdAt),
      formatNumber(entriesOf(one)),
      formatBytes(bytesOf(one)),
      state,
    ];
  });
  return renderTable(
    [
      { title: "backup", isWhole: true },
      { title: "kind" },
      { title: "as of" },
      { title: "entries", align: "right" },
      { title: "files", align: "right" },
      { title: "" },
    ],
    rows,
    { paint, width: terminal.columns },
  );
}

/** What a backup that has just been made holds, and what it cost. */
export function renderCreated({ paint }: Output, made: CreatedBackup, tookMs: number): string {
  const { objects, bytes } = made.written;
  return [
    paint("good", `${made.kind} backup ${made.backupId}`),
    `  as of    ${formatInstant(made.createdAt)}`,
    `  holds    ${countOf(entriesOf(made), "entry", "entries")} of ${countOf(made.tenants.length, "tenant")}, ${formatBytes(bytesOf(made))} of segments and blobs`,
    `  written  ${formatBytes(bytes)} in ${countOf(objects, "object")}, in ${formatDuration(tookMs)}`,
    "",
  ].join("\n");
}

/** What a check of a backup found. */
export function renderVerified({ paint }: Output, report: BackupVerifyReport): string {
  const { backupId, checked, fault } = report;
  if (fault !== undefined) {
    const tenant = fault.tenant === undefined ? "" : ` (tenant ${fault.tenant})`;
    return `${paint("bad", `backup ${backupId} is damaged`)}${tenant}: ${fault.reason}\n`;
  }
  const { entries, segments, blobs, bytes } = checked;
  const what = [
    countOf(entries, "entry", "entries"),
    countOf(segments, "segment"),
    countOf(blobs, "blob"),
  ].join(", ");
  return `${paint("good", `backup ${backupId} is whole`)}: ${what}, ${formatBytes(bytes)} read\n`;
}

/** What a drill showed. */
export function renderDrill({ paint }: Output, report: DrillReport): string {
  const { ok, backup, instant, rtoMs, rpoMs, records, keyless, differences, proofs, verified } =
    report;
  const title = ok ? paint("good", "the restore held") : paint("bad", "the restore did not hold");
  return [
    `${title}: backup ${backup} as of ${formatInstant(instant)}`,
    `  took       ${formatDuration(rtoMs)} until every store answered`,
    `  would cost ${rpoMs === null ? "unknown" : formatDuration(rpoMs)} of evidence, had the machine been lost now`,
    `  records    ${formatNumber(records)}, ${countOf(differences, "difference")}${keyless === 0 ? "" : `, ${formatNumber(keyless)} without a key in the key backup`}`,
    `  proofs     ${proofs.held} of ${proofs.tried} held`,
    `  journal    ${verified.ok ? "verified" : (verified.fault?.reason ?? "not whole")}`,
    "",
  ].join("\n");
}

/** What became of records that were brought back. */
export function renderRecords(
  { paint, terminal }: Output,
  counts: Readonly<Record<string, RestoredRecords>>,
): string {
  return renderTable(
    [
      { title: "type" },
      { title: "restored", align: "right" },
      { title: "here already", align: "right" },
      { title: "rejected", align: "right" },
      { title: "erased", align: "right" },
    ],
    Object.entries(counts).map(([type, count]) => [
      { text: type, style: "name" },
      formatNumber(count.restored),
      formatNumber(count.present),
      formatNumber(count.rejected),
      formatNumber(count.erased),
    ]),
    { paint, width: terminal.columns },
  );
}

/** What was pruned, or would be. */
export function renderPruned(
  { paint, terminal }: Output,
  { kept, deleted, swept }: PrunedBackups,
): string {
  const table = renderTable(
    [{ title: "backup", isWhole: true }, { title: "kept as" }],
    kept.map(({ id, reasons }) => [{ text: id, style: "name" }, reasons.join(", ")]),
    { paint, width: terminal.columns },
  );
  const gone = countOf(deleted.length, "backup");
  if (swept === undefined) return `${table}${gone} would be deleted\n`;
  return `${table}${gone} deleted, and with them ${countOf(swept.objects, "object")} (${formatBytes(swept.bytes)})\n`;
}

/** How far a copy is behind, in words. */
export function lagInWords({ entries, ms }: ShippingLag): string {
  if (entries === 0) return "in step";
  return `${countOf(entries, "entry", "entries")} behind, the oldest by ${formatDuration(ms)}`;
}

/** What a backup is doing, in words for a progress bar. */
export function phaseInWords({ tenant, phase }: BackupProgress): string {
  return `${tenant}: ${phase}`;
}

function entriesOf({ tenants }: BackupSummary): number {
  return tenants.reduce((sum, { entries }) => sum + entries, 0);
}

function bytesOf({ tenants }: BackupSummary): number {
  return tenants.reduce((sum, one) => sum + one.segmentBytes + one.blobBytes, 0);
}
