import type { EntryRecords } from "./entry-records.ts";

/**
 * RecentEntries: decoded entries that projectors are about to want, kept while they fit.
 *
 * A commit leaves its records here, so that a projector that keeps up never reads a segment back.
 * Projectors read forwards: where room is short, the entry that is wanted last (the highest sequence)
 * goes first, and what every projector has passed goes at once.
 */
export class RecentEntries {
  readonly #bytesMax: number;
  readonly #tenants = new Map<string, Map<number, Slot>>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Gives the entry, reading it when it is not there; readers that ask together read once. */
  async get(
    tenant: string,
    sequence: number,
    read: () => Promise<EntryRecords>,
  ): Promise<EntryRecords> {
    const known = this.#tenants.get(tenant)?.get(sequence);
    if (known !== undefined) return known.records;
    const slot: Slot = { records: read(), bytes: 0 };
    this.#add(tenant, sequence, slot);
    try {
      const records = await slot.records;
      this.#account(tenant, sequence, slot, records);
      return records;
    } catch (cause) {
      this.#drop(tenant, sequence);
      throw cause;
    }
  }

  /** Puts an entry just committed. */
  put(tenant: string, records: EntryRecords): void {
    const slot: Slot = { records: Promise.resolve(records), bytes: 0 };
    this.#drop(tenant, records.sequence);
    this.#add(tenant, records.sequence, slot);
    this.#account(tenant, records.sequence, slot, records);
  }

  /** Forgets a tenant's entries up to a sequence: nobody follows the journal behind it. */
  release(tenant: string, upTo: number): void {
    for (const sequence of this.#tenants.get(tenant)?.keys() ?? []) {
      if (sequence <= upTo) this.#drop(tenant, sequence);
    }
  }

  #add(tenant: string, sequence: number, slot: Slot): void {
    const entries = this.#tenants.get(tenant) ?? new Map<number, Slot>();
    this.#tenants.set(tenant, entries);
    entries.set(sequence, slot);
  }

  #drop(tenant: string, sequence: number): void {
    const entries = this.#tenants.get(tenant);
    const slot = entries?.get(sequence);
    if (entries === undefined || slot === undefined) return;
    entries.delete(sequence);
    this.#bytes -= slot.bytes;
    if (entries.size === 0) this.#tenants.delete(tenant);
  }

  #account(tenant: string, sequence: number, slot: Slot, records: EntryRecords): void {
    if (this.#tenants.get(tenant)?.get(sequence) !== slot) return;
    // Ids and arrays weigh about 120 bytes a record beside the text.
    slot.bytes = records.batch.text.byteLength + records.batch.ids.length * 120;
    this.#bytes += slot.bytes;
    while (this.#bytes > this.#bytesMax && this.#dropHighest());
  }

  /** Makes room where most entries lie; false when nothing is left to drop. */
  #dropHighest(): boolean {
    const [most] = [...this.#tenants].sort(([, left], [, right]) => right.size - left.size);
    if (most === undefined) return false;
    const [tenant, entries] = most;
    let highest = -1;
    for (const [sequence, { bytes }] of entries) {
      if (bytes > 0 && sequence > highest) highest = sequence;
    }
    this.#drop(tenant, highest);
    return highest >= 0;
  }
}

interface Slot {
  readonly records: Promise<EntryRecords>;
  bytes: number;
}
