/** How many backups are kept: the newest of each of the last so many periods that have one, in UTC. */
export interface RetentionRule {
  /** The newest backups, whatever their age. */
  readonly last?: number;
  readonly hourly?: number;
  readonly daily?: number;
  /** Weeks begin on Monday (ISO 8601). */
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
}

/** A backup as retention looks at it. */
export interface AgedBackup {
  readonly id: string;
  /** Epoch milliseconds. */
  readonly createdAt: number;
  /** True when all of it has been checked since it was made. */
  readonly isVerified?: boolean;
}

/** A backup that is kept, and why; every reason that holds is named. */
export interface RetainedBackup {
  readonly id: string;
  readonly reasons: readonly string[];
}

/**
 * Decides which backups are kept, by grandfather, father and son; newest first.
 *
 * Periods without a backup are not counted, so that nothing is pruned because backups have stopped.
 * The newest backup and the newest verified one are always kept, and so is one whose time lies ahead
 * of the clock: one of the two is wrong, and that is no reason to delete.
 *
 * @param now epoch milliseconds.
 */
export function retain(
  backups: readonly AgedBackup[],
  rule: RetentionRule,
  now: number,
): readonly RetainedBackup[] {
  const newestFirst = backups.toSorted(
    (a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1),
  );
  const reasons = new Map<string, string[]>();
  const keep = ({ id }: AgedBackup, reason: string): void => {
    reasons.set(id, [...(reasons.get(id) ?? []), reason]);
  };
  const [newest] = newestFirst;
  const verified = newestFirst.find(({ isVerified }) => isVerified === true);
  if (newest !== undefined) keep(newest, "the newest");
  if (verified !== undefined) keep(verified, "the newest verified");
  for (const one of newestFirst) if (one.createdAt > now) keep(one, "ahead of the clock");
  for (const [index, one] of newestFirst.slice(0, rule.last ?? 0).entries())
    keep(one, `number ${index + 1} of the last ${rule.last}`);
  for (const { name, periodOf } of PERIODS) {
    const kept = newestOfPeriods(newestFirst, periodOf).slice(0, rule[name] ?? 0);
    for (const one of kept) keep(one, name);
  }
  return newestFirst.flatMap(({ id }) => {
    const why = reasons.get(id);
    return why === undefined ? [] : [{ id, reasons: why }];
  });
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
// 1 January 1970 was a Thursday, three days after a Monday.
const DAYS_SINCE_MONDAY = 3;

const PERIODS: readonly {
  readonly name: "hourly" | "daily" | "weekly" | "monthly" | "yearly";
  readonly periodOf: (atMs: number) => number;
}[] = [
  { name: "hourly", periodOf: (atMs) => Math.floor(atMs / HOUR_MS) },
  { name: "daily", periodOf: (atMs) => Math.floor(atMs / DAY_MS) },
  {
    name: "weekly",
    periodOf: (atMs) => Math.floor((Math.floor(atMs / DAY_MS) + DAYS_SINCE_MONDAY) / 7),
  },
  { name: "monthly", periodOf: monthOf },
  { name: "yearly", periodOf: (atMs) => new Date(atMs).getUTCFullYear() },
];

function monthOf(atMs: number): number {
  const date = new Date(atMs);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function newestOfPeriods(
  newestFirst: readonly AgedBackup[],
  periodOf: (atMs: number) => number,
): readonly AgedBackup[] {
  const newest = new Map<number, AgedBackup>();
  for (const one of newestFirst) {
    const period = periodOf(one.createdAt);
    if (!newest.has(period)) newest.set(period, one);
  }
  return [...newest.values()];
}

/** A rule for people: `the last 3, 48 hourly, 30 daily`. */
export function keepInWords(rule: RetentionRule): string {
  const periods = PERIODS.flatMap(({ name }) => {
    const count = rule[name] ?? 0;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  const last = rule.last ?? 0;
  return [...(last === 0 ? [] : [`the last ${last}`]), ...periods].join(", ");
}
