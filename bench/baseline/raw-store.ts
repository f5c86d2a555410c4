import type { EvidenceRecord } from "../generate.ts";
import type { LineBatch } from "../record-lines.ts";

/** Where a raw store writes, and whether each batch must survive power loss. */
export interface RawOptions {
  readonly directory: string;
  /** `durable`: every store commits and syncs each batch. `relaxed`: only the log does. */
  readonly durability: "durable" | "relaxed";
}

/** A batch of the input: its lines and what they hold. */
export interface RawBatch extends LineBatch {
  readonly records: readonly EvidenceRecord[];
}

/** One store as somebody would write it by hand: rows in, no check, no checkpoint, no second delivery. */
export interface RawStore<Rows> {
  write(rows: Rows): Promise<void> | void;
  /** Commits what waits and makes the files complete. */
  close(): Promise<void> | void;
}

/** Batches of a relaxed store that share a transaction. */
export const RELAXED_BATCHES = 10;

/** Counts batches, so that a relaxed store commits only every tenth. */
export class CommitTurn {
  readonly #every: number;
  #open = 0;

  constructor({ durability }: RawOptions) {
    this.#every = durability === "durable" ? 1 : RELAXED_BATCHES;
  }

  /** True when a transaction has to be begun for the next batch. */
  get isFirst(): boolean {
    return this.#open === 0;
  }

  /** Notes a batch; true when it is the last of its transaction. */
  add(): boolean {
    this.#open = (this.#open + 1) % this.#every;
    return this.#open === 0;
  }

  /** Notes that the transaction was ended; true when there was one. */
  end(): boolean {
    const wasOpen = this.#open > 0;
    this.#open = 0;
    return wasOpen;
  }
}
