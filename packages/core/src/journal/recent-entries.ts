import type { EntryRecords } from "./entry-records.ts";

/**
 * RecentEntries: decoded entries that projectors are about to want, kept while they fit.
 *
 * A commit leaves its records here, so that a projector that keeps up never reads a segment back.
 * Several roles read the same entries; the oldest unused go first.
 */
export class RecentEntries {
  readonly #bytesMax: number;
  readonly #entries = new Map<string, Slot>();
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
    const key = `${tenant}/${sequence}`;
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known.records;
    }
    const slot: Slot = { records: read(), bytes: 0 };
    this.#entries.set(key, slot);
    try {
      const records = await slot.records;
      this.#account(key, slot, records);
      return records;
    } catch (cause) {
      this.#entries.delete(key);
      throw cause;
    }
  }

  /** Puts an entry just committed. */
  put(tenant: string, records: EntryRecords): void {
    const key = `${tenant}/${records.sequence}`;
    const slot: Slot = { records: Promise.resolve(records), bytes: 0 };
    this.#entries.set(key, slot);
    this.#account(key, slot, records);
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #account(key: string, slot: Slot, records: EntryRecords): void {
    if (this.#entries.get(key) !== slot) return;
    // Ids and arrays weigh about 120 bytes a record beside the text.
    slot.bytes = records.batch.text.byteLength + records.batch.ids.length * 120;
    this.#bytes += slot.bytes;
    for (const [oldest, { bytes }] of this.#entries) {
      if (this.#bytes <= this.#bytesMax || this.#entries.size <= 1) return;
      if (oldest === key) continue;
      this.#entries.delete(oldest);
      this.#bytes -= bytes;
    }
  }
}

interface Slot {
  readonly records: Promise<EntryRecords>;
  bytes: number;
}
