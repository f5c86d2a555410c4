/** A month of a projection's part of the journal. */
export interface JournalMonth {
  /** `YYYY-MM` of the entries' time of receipt, UTC. */
  readonly month: string;
  /** The first sequence of it: months follow each other, as entries do. */
  readonly first: number;
  /** Rows that the store should hold of it. */
  readonly records: number;
}

/** JournalMonths: how many rows each month of the journal has, from which rows can be taken back. */
export class JournalMonths {
  readonly #months: { month: string; first: number; records: number }[];

  constructor(months: readonly JournalMonth[] = []) {
    this.#months = months.map((month) => ({ ...month }));
  }

  /** Notes an entry; they come in order. */
  entry(sequence: number, receivedAt: number): void {
    const month = new Date(receivedAt).toISOString().slice(0, 7);
    if (this.#months.at(-1)?.month !== month)
      this.#months.push({ month, first: sequence, records: 0 });
  }

  /** Counts rows of an entry, or takes them back. */
  count(sequence: number, rows: number): void {
    const found = this.#find(sequence);
    if (found !== undefined) found.records += rows;
  }

  /** The month of an entry; `undefined` before the first. */
  of(sequence: number): string | undefined {
    return this.#find(sequence)?.month;
  }

  /** Adds months that follow, of the same rows read further. */
  join(following: JournalMonths): void {
    for (const { month, first, records } of following.#months) {
      const last = this.#months.at(-1);
      if (last?.month === month) last.records += records;
      else this.#months.push({ month, first, records });
    }
  }

  list(): readonly JournalMonth[] {
    return this.#months.map((month) => ({ ...month }));
  }

  #find(sequence: number): { month: string; records: number } | undefined {
    return this.#months.findLast(({ first }) => first <= sequence);
  }
}
