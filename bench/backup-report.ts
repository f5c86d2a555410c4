import type { BackupResult, Measured, SizeResult } from "./backup-bench.ts";
import { printTable } from "./report-table.ts";

const MIB = 2 ** 20;

/** Prints what backups cost, for people. */
export function printBackup({ machine, records, rounds, backup }: BackupResult): void {
  const load = machine.load.join(" ");
  print(`${records} records, ${rounds} rounds, the middle one of each; load before ${load}`);
  printIngest(backup.ingest, backup.roundRecords);
  printSpeed(backup.speed);
  printIncremental(backup.speed, { records, changed: backup.changedRecords });
  printSizes(backup.sizes);
  printKeys(backup.keys);
}

function printIngest({ facts, load }: Measured, roundRecords: number): void {
  // Written by our own child process, as are the facts below.
  const { stretches } = facts as unknown as IngestFacts;
  const normal = ofKind(stretches, "nothing");
  const row = (name: string, beside: string): string[] => {
    const own = ofKind(stretches, beside);
    const of = (value: (one: Stretch) => number): number => middle(own.map(value));
    const share = (value: (one: Stretch) => number): string =>
      (of(value) / middle(normal.map(value))).toFixed(2);
    return [
      name,
      of(perSecond).toFixed(0),
      share(perSecond),
      of(caughtUpPerSecond).toFixed(0),
      share(caughtUpPerSecond),
      of(({ cpuSeconds }) => cpuSeconds).toFixed(1),
      share(({ cpuSeconds }) => cpuSeconds),
      `${sum(own, "backups")} (${(sum(own, "backupBytes") / MIB).toFixed(0)} MiB)`,
    ];
  };
  print(`\nacknowledged ingest, ${roundRecords} records a stretch, load ${load}`);
  printTable([
    ["beside", "records/s", "ratio", "caught up", "ratio", "CPU s", "ratio", "backups written"],
    row("no backup", "nothing"),
    row("one full backup after another", "full"),
    row("shipping, every second", "continuous"),
  ]);
  const shipped = ofKind(stretches, "continuous").map(({ lagMsMax = 0 }) => lagMsMax);
  const isWhole = stretches.every((stretch) => stretch.records === roundRecords);
  print(
    `every commit acknowledged: ${isWhole}; shipping was at most ${Math.max(...shipped)} ms behind after a round`,
  );
}

function printSpeed(measured: Measured): void {
  const { rounds } = measured.facts as unknown as SpeedFacts;
  const row = (name: string, of: keyof SpeedRound, beside: keyof SpeedRound): string[] => {
    const seconds = rounds.map((round) => Number(round[of]));
    const ratios = rounds.map((round) => Number(round[beside]) / Number(round[of]));
    return [
      name,
      middle(seconds).toFixed(2),
      middle(rounds.map(({ bytes }, index) => bytes / MIB / (seconds[index] ?? 0))).toFixed(0),
      middle(ratios).toFixed(2),
    ];
  };
  const [first] = rounds;
  const size = `${first?.files} files, ${((first?.bytes ?? 0) / MIB).toFixed(0)} MiB`;
  print(`\nfull backup of ${size}, load ${measured.load}`);
  printTable([
    ["", "s", "MiB/s", "of the copy"],
    row("full backup", "fullSeconds", "copySeconds"),
    row("verify", "verifySeconds", "copySeconds"),
    row("copy: read, write, sync each file", "copySeconds", "copySeconds"),
    row("read and SHA-256 of each file", "hashSeconds", "copySeconds"),
  ]);
  print(`verified: ${rounds.every(({ isVerified }) => isVerified)}`);
}

function printIncremental(
  { facts }: Measured,
  { records, changed }: { readonly records: number; readonly changed: number },
): void {
  const { rounds, ...added } = facts as unknown as SpeedFacts;
  const [first] = rounds;
  const row = (name: string, { seconds, bytes, files }: Added): string[] => [
    name,
    seconds.toFixed(2),
    (bytes / 1_024).toFixed(0),
    share(bytes, first?.bytes),
    String(files),
    share(files, first?.files),
  ];
  const part = share(changed, records);
  print("");
  printTable([
    ["incremental", "s", "KiB", "of full", "files", "of full"],
    row("nothing new but the audit log", added.unchanged),
    row(`${changed} new records (${part})`, added.changed),
    row("full, where all is there", added.again),
  ]);
}

function printSizes(sizes: readonly SizeResult[]): void {
  const perSecond = ({ facts }: Measured, name: string): string =>
    (Number(facts["records"]) / Number(facts[name])).toFixed(0);
  const mib = (bytes: unknown): string => (Number(bytes) / MIB).toFixed(0);
  print("\nrecords a second");
  printTable([
    ["records", "committed", "and in all stores", "journal restored", "and in all stores", "load"],
    ...sizes.map(({ records, fill, restore }) => [
      String(records),
      perSecond(fill, "acknowledgedSeconds"),
      perSecond(fill, "seconds"),
      perSecond(restore, "journalSeconds"),
      perSecond(restore, "caughtUpSeconds"),
      String(restore.load),
    ]),
  ]);
  print("\npeak memory of all processes, MiB");
  printTable([
    ["records", "installation opened", "full backup", "journal restored", "stores filled"],
    ...sizes.map(({ records, create, restore }) => [
      String(records),
      mib(create.facts["openedBytes"]),
      mib(create.peakBytes),
      mib(restore.peakBytes),
      mib(restore.wholePeakBytes),
    ]),
  ]);
  const isReconciled = sizes.every(({ restore }) => restore.facts["isReconciled"] === true);
  print(`restored installations are reconciled: ${isReconciled}`);
}

function printKeys({ facts }: Measured): void {
  const { keys, bytes, firstSeconds, idleMs, oneNewMs } = facts as unknown as KeyFacts;
  print(
    `\nbackup of ${keys} keys: first ${firstSeconds.toFixed(2)} s (${(bytes / 1_024).toFixed(0)} KiB); ` +
      `again ${idleMs} ms, with one new key ${oneNewMs} ms`,
  );
}

interface IngestFacts {
  readonly stretches: readonly Stretch[];
}

interface Stretch {
  readonly beside: string;
  readonly seconds: number;
  readonly records: number;
  readonly caughtUpSeconds: number;
  readonly cpuSeconds: number;
  readonly backups: number;
  readonly backupBytes: number;
  readonly lagMsMax?: number;
}

interface SpeedFacts {
  readonly rounds: readonly SpeedRound[];
  readonly unchanged: Added;
  readonly changed: Added;
  readonly again: Added;
}

interface SpeedRound {
  readonly fullSeconds: number;
  readonly verifySeconds: number;
  readonly copySeconds: number;
  readonly hashSeconds: number;
  readonly bytes: number;
  readonly files: number;
  readonly isVerified: boolean;
}

interface Added {
  readonly seconds: number;
  readonly bytes: number;
  readonly files: number;
}

interface KeyFacts {
  readonly keys: number;
  readonly bytes: number;
  readonly firstSeconds: number;
  readonly idleMs: number;
  readonly oneNewMs: number;
}

function ofKind(stretches: readonly Stretch[], beside: string): readonly Stretch[] {
  return stretches.filter((stretch) => stretch.beside === beside);
}

function perSecond({ records, seconds }: Stretch): number {
  return records / seconds;
}

function caughtUpPerSecond({ records, caughtUpSeconds }: Stretch): number {
  return records / caughtUpSeconds;
}

function sum(stretches: readonly Stretch[], of: "backups" | "backupBytes"): number {
  return stretches.reduce((all, stretch) => all + stretch[of], 0);
}

function middle(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? 0;
}

function share(part: number, whole: number | undefined): string {
  return `${((100 * part) / (whole ?? 1)).toFixed(1)} %`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
